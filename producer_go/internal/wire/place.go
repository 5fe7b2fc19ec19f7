package wire

// Place is where an item stands: who yielded it, in which start of the job, and its number in it.
type Place struct {
	Worker string
	Fence  int64 // larger for every later start
	Seq    int64 // from 0
}

// PlaceOf reads the headers of an item; ok is false when one of them is missing, and the item is to be ignored.
func PlaceOf(headers map[string]any) (p Place, ok bool) {
	worker, hasWorker := headers[HeaderWorker].(string)
	fence, hasFence := FenceOf(headers)
	seq, hasSeq := integerHeader(headers[HeaderSeq])
	return Place{worker, fence, seq}, hasWorker && hasFence && hasSeq && seq >= 0
}

// Headers returns the headers of the item.
func (p Place) Headers() map[string]any {
	return map[string]any{HeaderWorker: p.Worker, HeaderFence: p.Fence, HeaderSeq: p.Seq}
}

// FenceOf reads the fence of an item, of progress or of a result; ok is false when it is missing. The first two are to be
// ignored then.
func FenceOf(headers map[string]any) (fence int64, ok bool) {
	fence, ok = integerHeader(headers[HeaderFence])
	return fence, ok && fence >= 0
}

// NoReader is the credit that says that nobody reads the items.
const NoReader = -1

// Credit says how many items of a start its worker may have sent in all.
type Credit struct {
	JobID  string
	Worker string
	Fence  int64
	Items  int64 // or NoReader
}

// CreditOf reads the headers of a credit; ok is false when one of them is missing, and the command is to be ignored.
func CreditOf(headers map[string]any) (c Credit, ok bool) {
	id, hasID := headers[HeaderJob].(string)
	worker, hasWorker := headers[HeaderWorker].(string)
	fence, hasFence := FenceOf(headers)
	items, hasItems := integerHeader(headers[HeaderCredit])
	return Credit{id, worker, fence, items}, hasID && hasWorker && hasFence && hasItems && items >= NoReader
}

// Headers returns the headers of the command.
func (c Credit) Headers() map[string]any {
	return map[string]any{HeaderJob: c.JobID, HeaderWorker: c.Worker, HeaderFence: c.Fence, HeaderCredit: c.Items}
}
