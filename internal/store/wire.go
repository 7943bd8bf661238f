package store

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/pack"
)

// This file is how an entry travels in a replicated log: a version byte, a kind,
// then unsigned varints and strings that begin with their length.
//
//	version kind time app name  size ttl meta_ttl memory  key except (publication | adoption)?
//
// A publication is encoded as it is stored, and fills the rest; so does an
// adoption, see appendAdoption.

// AppendEntry encodes an entry.
func AppendEntry(dst []byte, e *Entry) []byte {
	dst = append(dst, e.Kind.version(), byte(e.Kind))
	dst = binary.AppendUvarint(dst, uint64(max(e.Time, 0)))
	dst = pack.AppendString(pack.AppendString(dst, e.Channel.App), e.Channel.Name)
	r := &e.Retention
	dst = binary.AppendUvarint(dst, uint64(max(r.Size, 0)))
	dst = binary.AppendUvarint(dst, uint64(max(r.TTL, 0)))
	dst = binary.AppendUvarint(dst, uint64(max(r.MetaTTL, 0)))
	memory := byte(0)
	if r.Durability == channel.Memory {
		memory = 1
	}
	dst = pack.AppendString(append(dst, memory), e.Key)
	if e.Adoption != nil {
		return appendAdoption(pack.AppendString(dst, ""), e.Adoption)
	}
	if e.Pub == nil {
		return pack.AppendString(dst, "")
	}
	return AppendPublication(pack.AppendString(dst, e.Pub.Except), e.Pub)
}

// DecodeEntry decodes an entry; it keeps nothing of b. Of a newer version than
// this program knows it fails with a *VersionError.
func DecodeEntry(b []byte) (Entry, error) {
	r := read(slices.Clone(b))
	e := Entry{Version: r.Byte(), Kind: Kind(r.Byte())}
	if e.Version > EntryVersion {
		return Entry{}, &VersionError{Version: e.Version}
	}
	e.Time = r.Time()
	e.Channel = channel.ID{App: r.String(), Name: r.String()}
	e.Retention = engine.Retention{
		Size: int(r.Time()), TTL: time.Duration(r.Time()), MetaTTL: time.Duration(r.Time()), Durability: channel.Disk,
	}
	if r.Byte() != 0 {
		e.Retention.Durability = channel.Memory
	}
	e.Key = r.String()
	except := r.String()
	if err := r.End("log entry"); err != nil {
		return Entry{}, err
	}
	var err error
	switch {
	case e.Kind == Adopt && e.Version >= Adopt.version():
		if e.Adoption, err = r.adoption(); err != nil {
			return Entry{}, err
		}
		return e, nil
	case e.Kind == Adopt:
		return Entry{}, fmt.Errorf("log entry: %w", errMalformed)
	case e.Kind != Publish:
		return e, nil
	}
	if len(r.B) > 0 && r.B[0] > valueVersion {
		return Entry{}, &VersionError{Version: r.B[0]}
	}
	if e.Pub, err = DecodePublication(r.B, 0); err != nil {
		return Entry{}, fmt.Errorf("log entry: %w", err)
	}
	e.Pub.Except = except
	return e, nil
}

// VersionError says that a log was written by a newer version of this program.
type VersionError struct{ Version uint8 }

// Error implements error.
func (e *VersionError) Error() string {
	return fmt.Sprintf("log entry of version %d, this program knows up to %d: it must be upgraded", e.Version, EntryVersion)
}
