package pusher

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// Data turns the text of an event's data into a publication's: JSON as it is but
// for line breaks between its tokens, anything else as a JSON string. text is not
// kept.
func Data(text string) []byte {
	if raw := []byte(text); json.Valid(raw) {
		return oneLine(raw)
	}
	return appendQuoted(make([]byte, 0, len(text)+2), text)
}

// oneLine takes line breaks out of JSON, where they can only stand between
// tokens: other protocols put a message on a line. data changes in place.
func oneLine(data []byte) []byte {
	if !bytes.ContainsAny(data, "\r\n") {
		return data
	}
	kept := data[:0]
	for _, c := range data {
		if c != '\r' && c != '\n' {
			kept = append(kept, c)
		}
	}
	return kept
}

// Text is a publication's data as the text of an event's: the reverse of Data.
func Text(pub *engine.Publication) string {
	if pub.Binary {
		return base64.StdEncoding.EncodeToString(pub.Data)
	}
	if text, ok := bare(pub.Data); ok {
		return text
	}
	return string(pub.Data)
}

// bare takes the quotes off a JSON string that holds no JSON itself.
func bare(data []byte) (text string, ok bool) {
	if len(data) == 0 || data[0] != '"' || json.Unmarshal(data, &text) != nil {
		return "", false
	}
	return text, !json.Valid([]byte(text))
}

// appendData writes a publication's data as the text of an event's, in quotes.
func appendData(b []byte, pub *engine.Publication) []byte {
	if pub.Binary {
		b = base64.StdEncoding.AppendEncode(append(b, '"'), pub.Data)
		return append(b, '"')
	}
	if text, ok := bare(pub.Data); ok {
		return appendQuoted(b, text)
	}
	return appendQuoted(b, pub.Data)
}

// appendQuoted writes s as a JSON string (RFC 8259, 7). What is not UTF-8 becomes
// U+FFFD.
func appendQuoted[T string | []byte](b []byte, s T) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			b = append(b, s[start:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, '\\', 'n')
			case '\r':
				b = append(b, '\\', 'r')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&0xf])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		if r == utf8.RuneError && size == 1 {
			b = append(append(b, s[start:i]...), "\ufffd"...)
			start = i + 1
		}
		i += size
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
