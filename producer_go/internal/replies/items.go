package replies

import "github.com/penstock-mq/penstock/producer_go/internal/wire"

// Item is an item as it came.
type Item struct {
	wire.Place
	Body []byte
}

// State is what a reader of items finds.
type State uint8

const (
	// None has come yet that was not handed out.
	None State = iota
	// Ready is an item that is handed out now.
	Ready
	// Restarted means that the job has begun anew after items had been handed out; it is told once.
	Restarted
	// Lost means that the next item is missing, and will not come.
	Lost
)

// items are those of one job between their coming and their reader. They are not synchronised: the router is.
type items struct {
	fence   int64 // of the newest start of which an item has come; -1: none has
	worker  string
	waiting []Item // for the reader: the next ones without a gap, never more than wire.StreamWindow
	come    int64  // how many of this start have come; the number of the next
	taken   int64  // how many of this start the reader has been given
	void    bool   // the reader was given items of an earlier start and has not been told
	lost    bool   // the item after the waiting ones is missing
	dropped bool   // some of this start were dropped because nobody read
	reading bool   // there is a reader
	unread  bool   // there is none, and what comes is dropped
}

// add takes an item that has come. It tells whether nobody wants it: neither it nor what its worker sends after it in
// that start.
func (s *items) add(item Item) (unwanted bool) {
	if item.Fence < s.fence {
		return true // the start was given up for lost
	}
	if item.Fence > s.fence {
		s.begin(item)
	}
	switch {
	case s.unread, s.lost:
		s.dropped = true
		return true
	case item.Seq < s.come:
		return false // a repetition
	case item.Seq > s.come, len(s.waiting) == wire.StreamWindow: // the latter from a worker that heeds no credit
		s.lost = true
		return true
	}
	s.waiting = append(s.waiting, item)
	s.come++
	return false
}

// begin forgets the earlier start.
func (s *items) begin(item Item) {
	s.void = s.void || s.taken > 0
	s.fence, s.worker = item.Fence, item.Worker
	s.waiting, s.come, s.taken, s.lost, s.dropped = nil, 0, 0, false, false
}

// read makes the caller the reader; it returns false when there is another.
func (s *items) read() bool {
	if s.reading {
		return false
	}
	s.reading, s.unread = true, false
	s.lost = s.lost || s.dropped || s.taken > 0 // what is gone is not handed out again
	return true
}

// leave undoes read. Unless the job is over it tells, as drop does, whether the worker has to hear of it.
func (s *items) leave(over bool) (tell bool) {
	s.reading = false
	return !over && s.drop()
}

// drop lets what has come and what comes be dropped if there is no reader. It tells whether that is news for the worker.
func (s *items) drop() (tell bool) {
	if s.reading || s.unread {
		return false
	}
	s.unread = true
	s.dropped = s.dropped || len(s.waiting) > 0
	s.waiting = nil
	return s.fence >= 0
}

// next hands the next item to the reader.
func (s *items) next() (Item, State) {
	switch {
	case s.void:
		s.void = false
		return Item{}, Restarted
	case len(s.waiting) > 0:
		item := s.waiting[0]
		s.waiting[0] = Item{} // lets go of the body
		s.waiting = s.waiting[1:]
		s.taken++
		return item, Ready
	case s.lost:
		return Item{}, Lost
	}
	return Item{}, None
}
