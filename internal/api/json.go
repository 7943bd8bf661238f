package api

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// This file reads JSON without reflection: a body is checked once, as a whole (see
// check.go), and from then on is only cut into pieces. Nothing is copied until a value is
// wanted.

// stringEnd is the length of the string literal that b begins with, its quotes
// included; an unfinished one ends with b.
func stringEnd(b []byte) int {
	for i := 1; ; {
		quote := bytes.IndexByte(b[i:], '"')
		if quote < 0 {
			return len(b)
		}
		escape := bytes.IndexByte(b[i:i+quote], '\\')
		if escape < 0 {
			return i + quote + 1
		}
		if i += escape + 2; i > len(b) { // what is escaped may be the quote
			return len(b)
		}
	}
}

// cursor cuts the members of one object or the elements of one array, which has
// been checked, into pieces of the same memory.
type cursor struct {
	rest  []byte
	key   []byte // without quotes, escapes undone
	value []byte
}

// cursorOf begins at v, which must be an object or array.
func cursorOf(v []byte) cursor { return cursor{rest: v[1 : len(v)-1]} }

// element moves to the next element of an array.
func (c *cursor) element() bool {
	c.rest = trimLeft(c.rest)
	if len(c.rest) == 0 {
		return false
	}
	n := valueEnd(c.rest)
	c.value, c.rest = c.rest[:n], skip(c.rest[n:], ',')
	return true
}

// member moves to the next member of an object.
func (c *cursor) member() bool {
	c.rest = trimLeft(c.rest)
	if len(c.rest) == 0 {
		return false
	}
	n := stringEnd(c.rest)
	literal := c.rest[:n]
	c.key = literal[1 : n-1]
	if bytes.IndexByte(c.key, '\\') >= 0 {
		c.key = []byte(unquote(literal))
	}
	c.rest = trimLeft(skip(c.rest[n:], ':'))
	return c.element()
}

// skip drops white space and one sep, if there is one.
func skip(b []byte, sep byte) []byte {
	b = trimLeft(b)
	if len(b) > 0 && b[0] == sep {
		return b[1:]
	}
	return b
}

func trimLeft(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	return b
}

func isBlank(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// valueEnd is the length of the value that b begins with.
func valueEnd(b []byte) int {
	switch b[0] {
	case '"':
		return stringEnd(b)
	case '{', '[':
		level := 0
		for i := 0; i < len(b); i++ {
			switch b[i] {
			case '"':
				i += stringEnd(b[i:]) - 1
			case '{', '[':
				level++
			case '}', ']':
				if level--; level == 0 {
					return i + 1
				}
			}
		}
		return len(b)
	}
	for i, c := range b {
		if c == ',' || c == '}' || c == ']' || isBlank(c) {
			return i
		}
	}
	return len(b)
}

// unquote is the text of a string literal.
func unquote(literal []byte) string {
	inner := literal[1 : len(literal)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	var s string
	if err := json.Unmarshal(literal, &s); err != nil {
		return "" // impossible: the body was checked
	}
	return s
}

// kind names a value's type for messages.
func kind(v []byte) string {
	switch v[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

func isNull(v []byte) bool { return v[0] == 'n' }

// oneLine is JSON without line breaks: on the wire a line is a message. Within
// strings there are none, and between tokens they separate nothing that has no
// other separator. The result is a copy.
func oneLine(v []byte) []byte {
	if bytes.IndexByte(v, '\n') < 0 && bytes.IndexByte(v, '\r') < 0 {
		return bytes.Clone(v)
	}
	line := make([]byte, 0, len(v))
	for _, c := range v {
		if c != '\n' && c != '\r' {
			line = append(line, c)
		}
	}
	return line
}

// appendString appends s as a JSON string.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return appendEscaped(dst, s)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

func appendEscaped(dst []byte, s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return append(dst, `""`...) // impossible: strings always encode
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// appendField appends ,"name": (no comma after an opening brace); name needs no
// escapes.
func appendField(dst []byte, name string) []byte {
	if n := len(dst); n > 0 && dst[n-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

func appendText(dst []byte, name, value string) []byte {
	return appendString(appendField(dst, name), value)
}

func appendNumber(dst []byte, name string, value uint64) []byte {
	return strconv.AppendUint(appendField(dst, name), value, 10)
}

func appendRaw(dst []byte, name string, value []byte) []byte {
	return append(appendField(dst, name), value...)
}
