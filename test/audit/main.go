package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"time"

	"github.com/fanfare-push/fanfare/test/audit/crowd"
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
		if err = crowd.JudgeFile(*old); err == nil {
			fmt.Println("no fault")
		}
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
	return crowd.Judge(&result.record, record)
}
