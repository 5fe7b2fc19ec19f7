package brokertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Producer makes a user with the permissions of a producer (and no more), who may write the tasks of one
// queue, and returns the broker's URL for them.
func (b *Broker) Producer(queue string) string {
	b.t.Helper()
	user := "user-" + wire.NewInstance()
	b.api("PUT", "/api/users/"+user, map[string]any{"password": "secret", "tags": ""})
	b.t.Cleanup(func() { b.api("DELETE", "/api/users/"+user, nil) })
	ns, me := regexp.QuoteMeta(b.Namespace), regexp.QuoteMeta(user)
	reply := fmt.Sprintf(`reply\.%s\.[A-Za-z0-9_-]+`, me)
	b.api("PUT", "/api/permissions/%2F/"+user, map[string]any{
		"configure": fmt.Sprintf(`^%s\.%s$`, ns, reply),
		"write":     fmt.Sprintf(`^%s\.(jobs|%s)$`, ns, reply),
		"read":      fmt.Sprintf(`^%s\.(replies|%s)$`, ns, reply),
	})
	b.api("PUT", "/api/topic-permissions/%2F/"+user, map[string]any{
		"exchange": b.Name(wire.ExchangeJobs), "write": fmt.Sprintf(`^%s\..+$`, queue), "read": "^$"})
	b.api("PUT", "/api/topic-permissions/%2F/"+user, map[string]any{
		"exchange": b.Name(wire.ExchangeReplies), "write": "^$", "read": `^{username}\.[A-Za-z0-9_-]+$`})
	address, err := url.Parse(b.URL)
	b.must(err)
	address.User = url.UserPassword(user, "secret")
	return address.String()
}

// api calls the management API.
func (b *Broker) api(method, path string, body any) []byte {
	b.t.Helper()
	base, err := url.Parse(Env(b.t, "PENSTOCK_MANAGEMENT_URL"))
	b.must(err)
	payload, err := json.Marshal(body)
	b.must(err)
	request, err := http.NewRequest(method, strings.TrimSuffix(base.Scheme+"://"+base.Host, "/")+path, bytes.NewReader(payload))
	b.must(err)
	password, _ := base.User.Password()
	request.SetBasicAuth(base.User.Username(), password)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	b.must(err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	b.must(err)
	if response.StatusCode >= 300 {
		b.t.Fatalf("brokertest: %s %s: %s: %s", method, path, response.Status, text)
	}
	return text
}

// ReplyQueues returns how many reply queues there are in the namespace.
func (b *Broker) ReplyQueues() int {
	b.t.Helper()
	return len(b.replyQueues())
}

// DropReplyQueues deletes them, as an operator might.
func (b *Broker) DropReplyQueues() {
	b.t.Helper()
	for _, name := range b.replyQueues() {
		b.api("DELETE", "/api/queues/%2F/"+name, nil)
	}
}

func (b *Broker) replyQueues() (names []string) {
	b.t.Helper()
	var queues []struct{ Name string }
	b.must(json.Unmarshal(b.api("GET", "/api/queues/%2F?disable_stats=true&enable_queue_totals=true&columns=name", nil), &queues))
	for _, q := range queues {
		if strings.HasPrefix(q.Name, b.Name("reply.")) {
			names = append(names, q.Name)
		}
	}
	return names
}
