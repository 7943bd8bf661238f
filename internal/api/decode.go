package api

import (
	"strconv"
)

// field is one member of a request's object. set is given a value of valid JSON.
type field[T any] struct {
	name string
	set  func(r *T, v []byte) error
}

// decode fills r from an object. A known name that is given twice is refused,
// unknown names are ignored, null is as good as absent except for raw values.
func decode[T any](v []byte, r *T, fields []field[T]) error {
	if v[0] != '{' {
		return badRequest("must be an object, is %s", kind(v))
	}
	var seen uint32
	c := cursorOf(v)
	for c.member() {
		for i := range fields {
			f := &fields[i]
			if string(c.key) != f.name {
				continue
			}
			if seen&(1<<i) != 0 {
				return badRequest("%s: given twice", f.name)
			}
			seen |= 1 << i
			if err := f.set(r, c.value); err != nil {
				return within(f.name, err)
			}
		}
	}
	return nil
}

// within adds the place to an error of this package.
func within(place string, err error) error {
	f := *faultOf(err)
	f.message = place + ": " + f.message
	return &f
}

func text[T any](at func(*T) *string) func(*T, []byte) error {
	return func(r *T, v []byte) error { return setText(at(r), v) }
}

func setText(dst *string, v []byte) error {
	switch v[0] {
	case '"':
		*dst = unquote(v)
	case 'n':
	default:
		return badRequest("must be a string, is %s", kind(v))
	}
	return nil
}

func flag[T any](at func(*T) *bool) func(*T, []byte) error {
	return func(r *T, v []byte) error {
		switch v[0] {
		case 't', 'f':
			*at(r) = v[0] == 't'
		case 'n':
		default:
			return badRequest("must be a boolean, is %s", kind(v))
		}
		return nil
	}
}

func number[T any, N int64 | uint64](at func(*T) *N) func(*T, []byte) error {
	return func(r *T, v []byte) error {
		if isNull(v) {
			return nil
		}
		var err error
		switch dst := any(at(r)).(type) {
		case *int64:
			*dst, err = strconv.ParseInt(string(v), 10, 64)
		case *uint64:
			*dst, err = strconv.ParseUint(string(v), 10, 64)
		}
		if err != nil {
			return badRequest("must be an integer, is %.40s", v)
		}
		return nil
	}
}

// raw keeps the JSON of any value, null included, in the body's own memory.
func raw[T any](at func(*T) *[]byte) func(*T, []byte) error {
	return func(r *T, v []byte) error {
		*at(r) = v
		return nil
	}
}

func texts[T any](at func(*T) *[]string) func(*T, []byte) error {
	return func(r *T, v []byte) error {
		if isNull(v) {
			return nil
		}
		if v[0] != '[' {
			return badRequest("must be an array of strings, is %s", kind(v))
		}
		dst := at(r)
		for c := cursorOf(v); c.element(); {
			var s string
			if c.value[0] != '"' {
				return within(strconv.Itoa(len(*dst)), badRequest("must be a string, is %s", kind(c.value)))
			}
			if err := setText(&s, c.value); err != nil {
				return err
			}
			*dst = append(*dst, s)
		}
		return nil
	}
}

func textMap[T any](at func(*T) *map[string]string) func(*T, []byte) error {
	return func(r *T, v []byte) error {
		if isNull(v) {
			return nil
		}
		if v[0] != '{' {
			return badRequest("must be an object of strings, is %s", kind(v))
		}
		m := make(map[string]string)
		for c := cursorOf(v); c.member(); {
			if c.value[0] != '"' {
				return badRequest("%.40s: must be a string, is %s", c.key, kind(c.value))
			}
			key := string(c.key)
			if _, twice := m[key]; twice {
				return badRequest("%.40s: given twice", key)
			}
			m[key] = unquote(c.value)
		}
		*at(r) = m
		return nil
	}
}

func object[T, O any](at func(*T) **O, fields []field[O]) func(*T, []byte) error {
	return func(r *T, v []byte) error {
		if isNull(v) {
			return nil
		}
		o := new(O)
		*at(r) = o
		return decode(v, o, fields)
	}
}
