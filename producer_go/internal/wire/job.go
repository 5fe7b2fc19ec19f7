package wire

// Job is the envelope job.v1. Times are Unix milliseconds.
type Job struct {
	ID        string
	Task      string
	Version   int64 // the task's contract, 1 .. 2^31-1
	Args      any   // what Marshal writes as a map; nil is {}. DecodeJob sets a Raw
	CreatedAt int64
	Deadline  *int64            // nil: none
	Meta      map[string]string // nil: none
}

var jobFields = []string{"v", "kind", "id", "task", "tv", "args", "created_at", "deadline", "meta"}

// EncodeJob returns the canonical body of a job whose own fields are valid. Errors are of type [*Error]:
// INVALID_ARGS names the argument that cannot travel, TOO_LARGE means more than maxBytes.
func EncodeJob(job *Job, maxBytes int) ([]byte, error) {
	return encodeWith(maxBytes, job.encode)
}

func (j *Job) encode(e *encoder) *Error {
	fields := 7
	if j.Deadline != nil {
		fields++
	}
	if len(j.Meta) > 0 {
		fields++
	}
	e.begin(fields, "job")
	e.strField("id", j.ID)
	e.strField("task", j.Task)
	e.intField("tv", j.Version)
	e.key("args")
	if err := e.args(j.Args); err != nil {
		return err.inside("args")
	}
	e.intField("created_at", j.CreatedAt)
	if j.Deadline != nil {
		e.intField("deadline", *j.Deadline)
	}
	if len(j.Meta) > 0 {
		e.key("meta")
		if err := e.value(j.Meta); err != nil {
			return err.inside("meta")
		}
	}
	return nil
}

// args writes a value that must come out as a map.
func (e *encoder) args(v any) *Error {
	if v == nil {
		v = map[string]any(nil)
	}
	start := len(e.buf)
	if err := e.value(v); err != nil {
		return err
	}
	if k, _, _ := header(e.buf, start); k != kindMap {
		return refuse("%T is sent as %s; arguments have names: use a struct or a map", v, withArticle(k))
	}
	return nil
}

// DecodeJob checks a body of at most maxBytes and reads its envelope; the arguments stay as they are.
// Errors are of type [*Error].
func DecodeJob(body []byte, maxBytes int) (*Job, error) {
	e, err := open(body, maxBytes, "job", jobFields)
	if err != nil {
		return nil, err
	}
	err = first(
		e.require("id", "task", "tv", "args", "created_at"),
		e.fits("id", "a UUIDv7 in lower case", kindStr, isJobID),
		e.fits("task", "a task's name", kindStr, isTask),
		e.fits("tv", "an integer of 1 to 2^31-1", kindInt, isPositive),
		e.fits("args", "a map", kindMap, nil),
		e.fits("created_at", "a time", kindInt, isTime),
		e.fits("deadline", "a time", kindInt, isTime),
		e.fits("meta", "a map of str to str", kindMap, isMeta),
	)
	if err != nil {
		return nil, err
	}
	return &Job{
		ID: e.get("id").str(), Task: e.get("task").str(), Version: e.get("tv").int(), Args: e.get("args"),
		CreatedAt: e.get("created_at").int(), Deadline: e.get("deadline").optionalInt(), Meta: meta(e.get("meta")),
	}, nil
}

func isMeta(v Raw) bool {
	return v.each(func(_ string, value Raw) bool { return value.kind() == kindStr })
}

func meta(v Raw) map[string]string {
	if v == nil {
		return nil
	}
	made := make(map[string]string)
	v.each(func(key string, value Raw) bool {
		made[key] = value.str()
		return true
	})
	return made
}

// begin writes the outer map and its first two fields.
func (e *encoder) begin(fields int, kind string) {
	e.depth++
	e.dict(fields)
	e.intField("v", version)
	e.strField("kind", kind)
}

// The envelope's own fields are short and valid; only the size is left to go wrong, and that is checked at
// the end.

func (e *encoder) key(name string)                   { e.str(name) }
func (e *encoder) intField(name string, value int64) { e.str(name); e.int(value) }
func (e *encoder) strField(name, value string)       { e.str(name); e.str(value) }
