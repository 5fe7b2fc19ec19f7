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

// SetPassword changes the password of a user that Producer has made, whose URL stays as it is.
func (b *Broker) SetPassword(producer, password string) {
	b.t.Helper()
	address, err := url.Parse(producer)
	b.must(err)
	b.api("PUT", "/api/users/"+address.User.Username(), map[string]any{"password": password, "tags": ""})
}

// CloseConnections ends a user's connections as the broker does it when it shuts down; it returns how many
// it knew.
func (b *Broker) CloseConnections(producer string) int {
	b.t.Helper()
	address, err := url.Parse(producer)
	b.must(err)
	var connections []struct{ Name, User string }
	b.must(json.Unmarshal(b.api("GET", "/api/connections?columns=name,user", nil), &connections))
	closed := 0
	for _, c := range connections {
		if c.User == address.User.Username() {
			b.api("DELETE", "/api/connections/"+url.PathEscape(c.Name), nil)
			closed++
		}
	}
	return closed
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
func (b *Broker) ReplyQueues() (n int) {
	b.t.Helper()
	var queues []struct{ Name string }
	b.must(json.Unmarshal(b.api("GET", "/api/queues/%2F?disable_stats=true&enable_queue_totals=true&columns=name", nil), &queues))
	for _, q := range queues {
		if strings.HasPrefix(q.Name, b.Name("reply.")) {
			n++
		}
	}
	return n
}
