package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// What JSON has no words for travels as an object with one key.
const (
	binKey   = "$bin"   // base64
	floatKey = "$float" // "NaN", "+Inf", "-Inf"; printed only
	timeKey  = "$time"  // RFC 3339; printed only
)

// parseObject reads the arguments. Integers stay integers, and what would silently change is refused:
// integers beyond 64 bits, and a key that is there twice.
func parseObject(text string) (map[string]any, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	value, err := parseValue(decoder, 0)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, dataError("--args: " + err.Error())
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, dataError("--args: there is more after the first value")
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, dataError("--args: the arguments have names, so they are a JSON object, as in {\"x\": [3, 4]}")
	}
	return object, nil
}

func parseValue(decoder *json.Decoder, depth int) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	if depth > 100 { // the encoder has the exact limit; this one only protects the stack
		return nil, fmt.Errorf("nested too deep")
	}
	switch token := token.(type) {
	case json.Number:
		return number(token)
	case json.Delim:
		if token == '[' {
			return parseArray(decoder, depth)
		}
		return parseMap(decoder, depth)
	}
	return token, nil
}

func parseArray(decoder *json.Decoder, depth int) (any, error) {
	list := []any{}
	for decoder.More() {
		value, err := parseValue(decoder, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	_, err := decoder.Token()
	return list, err
}

func parseMap(decoder *json.Decoder, depth int) (any, error) {
	object := map[string]any{}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		name := key.(string) // the decoder refuses anything else
		if _, twice := object[name]; twice {
			return nil, fmt.Errorf("the key %q is there twice", name)
		}
		if object[name], err = parseValue(decoder, depth+1); err != nil {
			return nil, err
		}
	}
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	if text, ok := object[binKey].(string); ok && len(object) == 1 {
		return base64.StdEncoding.DecodeString(text)
	}
	return object, nil
}

func number(n json.Number) (any, error) {
	text := n.String()
	if strings.ContainsAny(text, ".eE") {
		f, err := n.Float64()
		if err != nil {
			return nil, fmt.Errorf("the number %s does not fit 64 bits", text)
		}
		return f, nil
	}
	i, err := n.Int64()
	if err != nil {
		return nil, fmt.Errorf("the integer %s does not fit 64 bits; send it as a string", text)
	}
	return i, nil
}

// printJSON prints a result on one line.
func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(plain(value))
}

// plain replaces what JSON has no words for.
func plain(value any) any {
	switch v := value.(type) {
	case []byte:
		return map[string]string{binKey: base64.StdEncoding.EncodeToString(v)}
	case time.Time:
		return map[string]string{timeKey: v.Format(time.RFC3339Nano)}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return map[string]string{floatKey: strconv.FormatFloat(v, 'g', -1, 64)}
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = plain(v[key])
		}
	}
	return value
}
