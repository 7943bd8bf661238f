package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"time"

	"github.com/fanfare-push/fanfare/test/audit/check"
	"github.com/fanfare-push/fanfare/test/server"
)

func main() {
	kills := flag.Int("kills", 20, "how often the server is killed")
	seed := flag.Uint64("seed", rand.Uint64(), "what all random decisions come from")
	record := flag.String("record", "audit.json", "where the record of a failed run is kept")
	old := flag.String("check", "", "check this record and run nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	var err error
	if *old != "" {
		err = checkFile(*old)
	} else {
		err = program(ctx, *kills, *seed, *record)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "audit:", err)
		os.Exit(1)
	}
}

func program(ctx context.Context, kills int, seed uint64, record string) error {
	dir, err := os.MkdirTemp("", "fanfare-audit-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	bin, err := server.Build(ctx, dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(kills)*10*time.Second)
	defer cancel()
	result, err := run(ctx, config{bin: bin, dir: dir, kills: kills, seed: seed, progress: func(line string) { fmt.Println(line) }})
	if err != nil {
		return err
	}
	fmt.Println(result.summary())
	if faults := check.Check(&result.record); len(faults) > 0 {
		return errorOf(faults, save(&result.record, record))
	}
	return nil
}

// maxShown bounds the faults that are printed; one cause has many.
const maxShown = 30

func errorOf(faults []check.Fault, where string) error {
	text := fmt.Sprintf("%d faults; the record is in %s", len(faults), where)
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

func checkFile(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var r check.Record
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if faults := check.Check(&r); len(faults) > 0 {
		return errorOf(faults, file)
	}
	fmt.Println("no fault")
	return nil
}
