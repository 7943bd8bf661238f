package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// This file decides what is JSON (RFC 8259). encoding/json would do, but at a
// quarter of the speed, and a publication is checked before anything else is done
// with it; a fuzz target holds the two together.

// checkJSON reports why body is no JSON that may be cut up: not UTF-8, nested
// too deep, or malformed, and where.
func checkJSON(body []byte, maxDepth int) error {
	if !utf8.Valid(body) {
		return badRequest("the body is not UTF-8")
	}
	switch examine(body, maxDepth) {
	case tooDeep:
		return badRequest("the body nests deeper than %d objects and arrays", maxDepth)
	case malformed:
		return malformedAt(body)
	}
	return nil
}

// malformedAt lets encoding/json say where.
func malformedAt(body []byte) error {
	var raw json.RawMessage
	var syntax *json.SyntaxError
	if err := json.Unmarshal(body, &raw); errors.As(err, &syntax) {
		return badRequest("the body is malformed JSON at byte %d: %s", syntax.Offset, syntax.Error())
	}
	return badRequest("the body is malformed JSON")
}

// verdict says what a text is.
type verdict uint8

const (
	wellFormed verdict = iota
	malformed
	tooDeep // so far as it was read, it is well-formed
)

// examine judges a whole text, apart from its being UTF-8.
func examine(text []byte, maxDepth int) verdict {
	c := checker{text: text, room: maxDepth}
	ok := c.value()
	c.blank()
	switch {
	case c.deep:
		return tooDeep
	case !ok || c.at < len(text):
		return malformed
	}
	return wellFormed
}

// checker reads forward through a text. Its methods say whether what they expect
// was there, and then stand behind it.
type checker struct {
	text []byte
	at   int
	room int // objects and arrays that may still be opened
	deep bool
}

// peek is the byte ahead, 0 at the end.
func (c *checker) peek() byte {
	if c.at < len(c.text) {
		return c.text[c.at]
	}
	return 0
}

func (c *checker) char(want byte) bool {
	if c.peek() != want {
		return false
	}
	c.at++
	return true
}

func (c *checker) blank() {
	for c.at < len(c.text) && isBlank(c.text[c.at]) {
		c.at++
	}
}

func (c *checker) value() bool {
	c.blank()
	switch c.peek() {
	case '"':
		return c.str()
	case '{':
		return c.nested('}')
	case '[':
		return c.nested(']')
	case 't':
		return c.word("true")
	case 'f':
		return c.word("false")
	case 'n':
		return c.word("null")
	}
	return c.number()
}

// nested is an object or an array, up to closing.
func (c *checker) nested(closing byte) bool {
	if c.room == 0 {
		c.deep = true
		return false
	}
	c.room--
	c.at++
	c.blank()
	if c.char(closing) {
		c.room++
		return true
	}
	for {
		c.blank()
		if closing == '}' && !c.name() || !c.value() {
			return false
		}
		c.blank()
		if c.char(closing) {
			c.room++
			return true
		}
		if !c.char(',') {
			return false
		}
	}
}

// name is a member's, with its colon.
func (c *checker) name() bool {
	if !c.str() {
		return false
	}
	c.blank()
	return c.char(':')
}

func (c *checker) word(want string) bool {
	if !bytes.HasPrefix(c.text[c.at:], []byte(want)) {
		return false
	}
	c.at += len(want)
	return true
}

func (c *checker) str() bool {
	if !c.char('"') {
		return false
	}
	for i := c.at; i < len(c.text); i++ {
		switch b := c.text[i]; {
		case b == '"':
			c.at = i + 1
			return true
		case b == '\\':
			n := escapeLen(c.text[i:])
			if n == 0 {
				return false
			}
			i += n - 1
		case b < ' ':
			return false
		}
	}
	return false
}

// escapeLen is the length of the escape that b begins with, 0 if it is none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 && isHex(b[2]) && isHex(b[3]) && isHex(b[4]) && isHex(b[5]) {
			return 6
		}
	}
	return 0
}

func isHex(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b && b <= 'f' || 'A' <= b && b <= 'F'
}

func (c *checker) number() bool {
	c.char('-')
	if !c.char('0') && !c.digits() {
		return false
	}
	if c.char('.') && !c.digits() {
		return false
	}
	if c.char('e') || c.char('E') {
		_ = c.char('+') || c.char('-')
		return c.digits()
	}
	return true
}

// digits are one or more.
func (c *checker) digits() bool {
	start := c.at
	for '0' <= c.peek() && c.peek() <= '9' {
		c.at++
	}
	return c.at > start
}
