package double

import (
	"encoding/binary"

	"github.com/penstock-mq/penstock/producer_go/internal/replies"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// outlet returns where the items of a job go.
func (b *Broker) outlet(d *delivery) Outlet {
	switch mode, _ := d.Headers[wire.HeaderResultMode].(string); mode {
	case wire.ResultReply:
		return replied{b, d}
	case wire.ResultStored, wire.ResultReplyAndStored:
		return &kept{broker: b, delivery: d}
	}
	return Nowhere{}
}

// replied sends items to the client that has asked.
type replied struct {
	broker *Broker
	*delivery
}

func (replied) Windowed() bool { return true }

func (r replied) Item(place wire.Place, body []byte) {
	r.to(func(router *replies.Router) { router.AddItem(r.Job.ID, replies.Item{Place: place, Body: body}) })
}

func (r replied) Progress(_ string, fence int64, body []byte) {
	r.to(func(router *replies.Router) { router.AddProgress(r.Job.ID, fence, body) })
}

// to calls with the router of the client, if it is still there. As with RabbitMQ, what one start sends arrives in order.
func (r replied) to(deliver func(*replies.Router)) {
	r.broker.mu.Lock()
	defer r.broker.mu.Unlock()
	if s := r.broker.sources[r.replyTo]; s != nil {
		deliver(s.router)
	}
}

// kept writes items into the store.
type kept struct {
	broker *Broker
	*delivery
	fence int64
	log   []byte
}

func (*kept) Windowed() bool { return false }

func (k *kept) Item(place wire.Place, body []byte) {
	if place.Fence != k.fence {
		k.fence, k.log = place.Fence, nil
	}
	k.log = wire.AppendItem(k.log, place.Fence, body)
	k.keep(wire.ItemsKey, k.log)
}

func (k *kept) Progress(_ string, fence int64, body []byte) {
	k.keep(wire.ProgressKey, append(binary.BigEndian.AppendUint64(nil, uint64(fence)), body...))
}

func (k *kept) keep(template string, value []byte) {
	channel := wire.Fill(wire.ResultChannel, "namespace", k.namespace, "reply_to", k.replyTo)
	k.broker.Store.Replace(wire.Fill(template, "namespace", k.namespace, "job_id", k.Job.ID), value, channel, k.Job.ID)
}
