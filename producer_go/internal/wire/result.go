package wire

// Result is the envelope result.v1. Times are Unix milliseconds.
type Result struct {
	JobID      string
	Task       string
	Version    int64
	Value      any      // what Marshal writes; DecodeResult sets a Raw. Ignored when Failure is set
	Failure    *Failure // nil: the job went well
	Attempt    int64    // the attempt that ended the job, 0 when it was refused before it was tried
	StartedAt  *int64   // nil: not known
	FinishedAt int64
	Worker     string
	Items      *int64 // how many the task has yielded; nil: it yields none. Ignored when Failure is set
}

// Failure is the error of a result.
type Failure struct {
	Code      string
	Message   string
	Retryable bool
	ExcType   string         // "": no exception
	Details   map[string]any // string, int64, float64 and bool; nil: none
}

var (
	resultFields = []string{
		"v", "kind", "job_id", "task", "tv", "status", "result", "error", "attempt", "started_at", "finished_at", "worker",
		"items",
	}
	errorFields = []string{"code", "message", "retryable", "exc_type", "details"}
)

// EncodeResult returns the canonical body of a result. Errors are of type [*Error].
func EncodeResult(result *Result, maxBytes int) ([]byte, error) {
	return encodeWith(maxBytes, result.encode)
}

func (r *Result) encode(e *encoder) *Error {
	fields := 10
	if r.StartedAt != nil {
		fields++
	}
	streams := r.Items != nil && r.Failure == nil
	if streams {
		fields++
	}
	e.begin(fields, "result")
	e.strField("job_id", r.JobID)
	e.strField("task", r.Task)
	e.intField("tv", r.Version)
	if err := r.answer(e); err != nil {
		return err
	}
	e.intField("attempt", r.Attempt)
	if r.StartedAt != nil {
		e.intField("started_at", *r.StartedAt)
	}
	e.intField("finished_at", r.FinishedAt)
	e.strField("worker", r.Worker)
	if streams {
		e.intField("items", *r.Items)
	}
	return nil
}

func (r *Result) answer(e *encoder) *Error {
	if r.Failure != nil {
		e.strField("status", "error")
		e.key("error")
		return r.Failure.encode(e)
	}
	e.strField("status", "ok")
	e.key("result")
	if err := e.value(r.Value); err != nil {
		return err.inside("result")
	}
	return nil
}

func (f *Failure) encode(e *encoder) *Error {
	fields := 3
	if f.ExcType != "" {
		fields++
	}
	if len(f.Details) > 0 {
		fields++
	}
	e.depth++
	e.dict(fields)
	e.strField("code", f.Code)
	e.strField("message", f.Message)
	e.key("retryable")
	e.bool(f.Retryable)
	if f.ExcType != "" {
		e.strField("exc_type", f.ExcType)
	}
	if len(f.Details) > 0 {
		e.key("details")
		if err := e.value(f.Details); err != nil {
			return err.inside("details")
		}
	}
	e.depth--
	return nil
}

// DecodeResult checks a body of at most maxBytes and reads its envelope; the value stays as it is. Errors
// are of type [*Error].
func DecodeResult(body []byte, maxBytes int) (*Result, error) {
	e, err := open(body, maxBytes, "result", resultFields)
	if err != nil {
		return nil, err
	}
	err = first(
		e.require("job_id", "task", "tv", "status", "attempt", "finished_at", "worker"),
		e.fits("job_id", "a UUIDv7 in lower case", kindStr, isJobID),
		e.fits("task", "a task's name", kindStr, isTask),
		e.fits("tv", "an integer of 1 to 2^31-1", kindInt, isPositive),
		e.fits("status", `"ok" or "error"`, kindStr, isStatus),
		e.fits("attempt", "an integer of 0 to 2^31-1", kindInt, isCount),
		e.fits("started_at", "a time", kindInt, isTime),
		e.fits("finished_at", "a time", kindInt, isTime),
		e.fits("worker", "a str", kindStr, nil),
		e.fits("items", "an integer of 0 to 2^31-1", kindInt, isCount),
	)
	if err != nil {
		return nil, err
	}
	result := &Result{
		JobID: e.get("job_id").str(), Task: e.get("task").str(), Version: e.get("tv").int(),
		Attempt: e.get("attempt").int(), StartedAt: e.get("started_at").optionalInt(), FinishedAt: e.get("finished_at").int(),
		Worker: e.get("worker").str(),
	}
	if err := result.setAnswer(e); err != nil {
		return nil, err
	}
	return result, nil
}

func isStatus(v Raw) bool { return v.str() == "ok" || v.str() == "error" }

// setAnswer reads the one of result and error that the status announces; the other is ignored.
func (r *Result) setAnswer(e *envelope) error {
	if e.get("status").str() == "ok" {
		r.Items = e.get("items").optionalInt()
		r.Value = e.get("result")
		return e.require("result")
	}
	if err := first(e.require("error"), e.fits("error", "a map", kindMap, nil)); err != nil {
		return err
	}
	f := split(e.get("error"), "error", errorFields)
	err := first(
		f.require("code", "message", "retryable"),
		f.fits("code", "a str", kindStr, nil),
		f.fits("message", "a str", kindStr, nil),
		f.fits("retryable", "a bool", kindBool, nil),
		f.fits("exc_type", "a str", kindStr, nil),
		f.fits("details", "a map of str to str, int, float or bool", kindMap, isDetails),
	)
	if err != nil {
		return err
	}
	r.Failure = &Failure{
		Code: f.get("code").str(), Message: f.get("message").str(), Retryable: f.get("retryable").bool(),
		ExcType: f.get("exc_type").str(), Details: details(f.get("details")),
	}
	return nil
}

func isDetails(v Raw) bool {
	return v.each(func(_ string, value Raw) bool {
		k := value.kind()
		return k == kindStr || k == kindInt || k == kindFloat || k == kindBool
	})
}

func details(v Raw) map[string]any {
	if v == nil {
		return nil
	}
	d := decoder{b: v}
	return d.any().(map[string]any)
}
