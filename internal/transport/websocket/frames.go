package websocket

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"
)

// failure ends a connection with a close code.
type failure struct {
	code   int
	reason string
}

func (f *failure) Error() string { return fmt.Sprintf("%d: %s", f.code, f.reason) }

var (
	errMask        = &failure{closeProtocolError, "frame is not masked"}
	errRSV         = &failure{closeProtocolError, "reserved bits"}
	errOpcode      = &failure{closeProtocolError, "reserved opcode"}
	errControl     = &failure{closeProtocolError, "control frame is fragmented or too long"}
	errFragment    = &failure{closeProtocolError, "message within a fragmented message"}
	errNoFragment  = &failure{closeProtocolError, "continuation of nothing"}
	errLength      = &failure{closeProtocolError, "length is not in its shortest form"}
	errCloseFrame  = &failure{closeProtocolError, "bad close frame"}
	errNotUTF8     = &failure{closeInvalidData, "not UTF-8"}
	errReasonUTF8  = &failure{closeInvalidData, "close reason is not UTF-8"}
	errNotDeflated = &failure{closeInvalidData, "data does not inflate"}
	errTooBig      = &failure{closeTooBig, "message too big"}
)

// header is a frame's header taken apart.
type header struct {
	fin, compressed bool
	op              byte
	mask            [4]byte
	length          int
}

// decodeHeader reads a header from the front of p and returns its size; 0 when p
// holds only a part of it. What can be refused early is.
func decodeHeader(p []byte) (h header, size int, err error) {
	if len(p) < 2 {
		return h, 0, nil
	}
	h = header{fin: p[0]&bitFin != 0, compressed: p[0]&bitRSV1 != 0, op: p[0] & 0xf}
	control := h.op >= opClose
	short := int(p[1] &^ bitMask)
	switch {
	case p[0]&(bitsRSV&^bitRSV1) != 0:
		return h, 0, errRSV
	case h.op > OpBinary && !control || h.op > opPong:
		return h, 0, errOpcode
	case control && (!h.fin || short > maxControl):
		return h, 0, errControl
	case p[1]&bitMask == 0:
		return h, 0, errMask
	}
	size = 2
	switch short {
	case 126:
		size = 4
	case 127:
		size = 10
	}
	if len(p) < size+4 {
		return h, 0, nil
	}
	if h.length, err = frameLength(p, short); err != nil {
		return h, 0, err
	}
	copy(h.mask[:], p[size:])
	return h, size + 4, nil
}

func frameLength(p []byte, short int) (int, error) {
	switch short {
	case 126:
		n := int(binary.BigEndian.Uint16(p[2:]))
		if n < 126 {
			return 0, errLength
		}
		return n, nil
	case 127:
		n := binary.BigEndian.Uint64(p[2:])
		switch {
		case n < 1<<16 || n>>63 != 0:
			return 0, errLength
		case n > math.MaxInt32: // what an int holds everywhere
			return 0, errTooBig
		}
		return int(n), nil
	}
	return short, nil
}

// unmask XORs p with the mask, beginning at byte pos of the payload (5.3).
func unmask(p []byte, mask [4]byte, pos int) {
	k := binary.LittleEndian.Uint32(mask[:])
	k = k>>(8*(pos&3)) | k<<(32-8*(pos&3))
	k64 := uint64(k) | uint64(k)<<32
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^k64)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= byte(k >> (8 * (i & 3)))
	}
}

// sink is given what the frames of a connection say. An error ends the reading.
type sink interface {
	message(op byte, compressed bool, payload []byte) error
	control(op byte, payload []byte) error
	stopped() bool // what follows has to wait
}

// reader takes a connection's bytes apart, in whatever pieces they come. While
// no frame is under way it holds nothing.
type reader struct {
	partial *partial
}

// partial is a frame or a message that has not arrived whole.
type partial struct {
	// The frame under way.
	head   []byte // of its header, while that is not whole
	inside bool   // the header is known, the payload is not whole
	frame  header
	done   int    // bytes of the payload that arrived
	ctl    []byte // payload of a control frame

	// The message under way.
	open       bool // its first frame has begun and its last has not ended
	op         byte
	compressed bool
	data       []byte
	checked    int // bytes of data known to be UTF-8
}

// limits of what a reader accepts.
type limits struct {
	message int  // bytes of one message
	deflate bool // RSV1 is allowed
}

// read consumes p, which it changes, until the sink is stopped, and returns what
// is left. Whole messages that lie in p in one frame are handed over where they
// are.
func (r *reader) read(p []byte, lim limits, to sink) ([]byte, error) {
	for len(p) > 0 && !to.stopped() {
		if r.partial != nil {
			n, err := r.partial.read(p, lim, to)
			if err != nil {
				return nil, err
			}
			p = p[n:]
			if !r.partial.busy() {
				r.partial = nil
			}
			continue
		}
		h, size, err := decodeHeader(p)
		if err != nil {
			return nil, err
		}
		if size == 0 || len(p)-size < h.length || !h.fin || h.op == opContinuation {
			r.partial = &partial{}
			continue
		}
		if err := h.check(nil, lim); err != nil {
			return nil, err
		}
		payload := p[size : size+h.length]
		unmask(payload, h.mask, 0)
		if err := deliver(&h, payload, to); err != nil {
			return nil, err
		}
		p = p[size+h.length:]
	}
	return p, nil
}

func deliver(h *header, payload []byte, to sink) error {
	if h.op >= opClose {
		return to.control(h.op, payload)
	}
	if h.op == OpText && !h.compressed && !utf8.Valid(payload) {
		return errNotUTF8
	}
	return to.message(h.op, h.compressed, payload)
}

// check refuses a frame by its header and what came before it; before anything
// is kept of it.
func (h *header) check(p *partial, lim limits) error {
	open := p != nil && p.open
	switch {
	case h.compressed && (!lim.deflate || h.op >= opClose || h.op == opContinuation):
		return errRSV
	case h.op >= opClose:
		return nil
	case h.op == opContinuation && !open:
		return errNoFragment
	case h.op != opContinuation && open:
		return errFragment
	}
	have := 0
	if open {
		have = len(p.data)
	}
	if h.length > lim.message-have {
		return errTooBig
	}
	return nil
}

// busy reports whether something has to be remembered.
func (p *partial) busy() bool { return p.open || p.inside || len(p.head) > 0 }

// read consumes a part of b and returns how much.
func (p *partial) read(b []byte, lim limits, to sink) (int, error) {
	if !p.inside {
		return p.readHeader(b, lim, to)
	}
	n := min(len(b), p.frame.length-p.done)
	part := b[:n]
	unmask(part, p.frame.mask, p.done)
	p.done += n
	if p.frame.op >= opClose {
		p.ctl = append(p.ctl, part...)
	} else {
		p.data = append(p.data, part...)
		if err := p.checkText(); err != nil {
			return n, err
		}
	}
	return n, p.endFrame(to)
}

func (p *partial) readHeader(b []byte, lim limits, to sink) (int, error) {
	had := len(p.head)
	p.head = append(p.head, b[:min(len(b), maxHeader-had)]...)
	h, size, err := decodeHeader(p.head)
	if err == nil && size > 0 {
		err = h.check(p, lim)
	}
	if err != nil || size == 0 {
		return len(p.head) - had, err
	}
	p.head = p.head[:0]
	p.inside, p.frame, p.done = true, h, 0
	if h.op < opClose && h.op != opContinuation {
		p.open, p.op, p.compressed = true, h.op, h.compressed
		p.data, p.checked = nil, 0
	}
	return size - had, p.endFrame(to)
}

// endFrame does what a whole frame asks for; nothing before it is whole.
func (p *partial) endFrame(to sink) error {
	if p.done < p.frame.length {
		return nil
	}
	p.inside = false
	if p.frame.op >= opClose {
		ctl := p.ctl
		p.ctl = nil
		return to.control(p.frame.op, ctl)
	}
	if !p.frame.fin {
		return nil
	}
	if p.text() && p.checked < len(p.data) {
		return errNotUTF8 // it ends within a character
	}
	data := p.data
	p.open, p.data = false, nil
	return to.message(p.op, p.compressed, data)
}

func (p *partial) text() bool { return p.op == OpText && !p.compressed }

// checkText looks at what is new of a text. An incomplete character at its end
// waits for the rest.
func (p *partial) checkText() error {
	if !p.text() {
		return nil
	}
	p.checked += validPrefix(p.data[p.checked:])
	rest := p.data[p.checked:]
	if len(rest) >= utf8.UTFMax || utf8.FullRune(rest) {
		return errNotUTF8
	}
	return nil
}

// validPrefix is the length of the longest prefix of b made of whole characters.
func validPrefix(b []byte) int {
	if utf8.Valid(b) {
		return len(b)
	}
	n := 0
	for n < len(b) {
		r, size := utf8.DecodeRune(b[n:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		n += size
	}
	return n
}

// closeCode reads the payload of a close frame (5.5.1).
func closeCode(payload []byte) (int, error) {
	switch {
	case len(payload) == 0:
		return closeNoStatus, nil
	case len(payload) == 1:
		return 0, errCloseFrame
	}
	code := int(binary.BigEndian.Uint16(payload))
	switch {
	case !validCloseCode(code):
		return 0, errCloseFrame
	case !utf8.Valid(payload[2:]):
		return 0, errReasonUTF8
	}
	return code, nil
}
