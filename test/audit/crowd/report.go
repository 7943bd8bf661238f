package crowd

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/fanfare-push/fanfare/test/audit/check"
)

// Summary says in a line how much a record holds.
func Summary(r *check.Record) string {
	acks, shown, back, read := 0, 0, 0, 0
	for _, p := range r.Publishers {
		acks += len(p.Acks)
	}
	for _, s := range r.Subscribers {
		for i, e := range s.Events {
			switch {
			case e.Entry != nil:
				shown++
			case i > 0:
				back++
			}
		}
	}
	for _, p := range r.Reads {
		read += len(p.Entries)
	}
	return fmt.Sprintf("%d publications acknowledged, %d shown to %d subscribers that came back %d times, %d read meanwhile",
		acks, shown, len(r.Subscribers), back, read)
}

// maxShown bounds the faults that are printed; one cause has many.
const maxShown = 30

// Judge checks a record and gives its faults as an error. The record of those is
// kept in file.
func Judge(r *check.Record, file string) error {
	faults := check.Check(r)
	if len(faults) == 0 {
		return nil
	}
	text := fmt.Sprintf("%d faults; the record is in %s", len(faults), save(r, file))
	for _, f := range faults[:min(len(faults), maxShown)] {
		text += "\n  " + f.String()
	}
	return fmt.Errorf("%s", text)
}

func save(r *check.Record, file string) string {
	data, err := json.Marshal(r)
	if err == nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil {
		return fmt.Sprintf("no file (%v)", err)
	}
	return file
}

// judgeFile judges the record that a run has kept.
func judgeFile(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var r check.Record
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return Judge(&r, file)
}
