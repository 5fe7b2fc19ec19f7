package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"
)

// object is a JSON object whose keys keep their order.
type object struct {
	keys   []string
	values map[string]any
}

func (o *object) has(key string) bool {
	_, ok := o.values[key]
	return ok
}

// parse reads one JSON document: *object, []any, string, json.Number, bool or nil. What encoding/json lets
// pass is refused: equal keys, text behind the document, numbers beyond 2^53.
func parse(data []byte) (any, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	value, err := parseValue(d)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more behind the document")
	}
	return value, nil
}

func parseValue(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '{' {
			return parseObject(d)
		}
		return parseList(d)
	case json.Number:
		const most = 1 << 53
		n, wholeErr := strconv.ParseInt(token.String(), 10, 64)
		f, err := strconv.ParseFloat(token.String(), 64)
		if err != nil || math.Abs(f) > most || wholeErr == nil && (n > most || n < -most) {
			return nil, fmt.Errorf("it has the number %s; numbers lie within ±2^53", token)
		}
	}
	return token, nil
}

func parseObject(d *json.Decoder) (any, error) {
	o := &object{values: map[string]any{}}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("it is not JSON: %w", err)
		}
		key, ok := token.(string)
		if !ok {
			return nil, errors.New("it is not JSON: a key is no string")
		}
		if o.has(key) {
			return nil, fmt.Errorf("it names %q twice in one object", key)
		}
		value, err := parseValue(d)
		if err != nil {
			return nil, err
		}
		o.keys = append(o.keys, key)
		o.values[key] = value
	}
	return o, parseEnd(d)
}

func parseList(d *json.Decoder) (any, error) {
	list := []any{}
	for d.More() {
		value, err := parseValue(d)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	return list, parseEnd(d)
}

func parseEnd(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("it is not JSON: %w", err)
	}
	return nil
}
