package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/fanfare-push/fanfare/test/audit/crowd"
	"github.com/fanfare-push/fanfare/test/server"
)

func main() {
	kills := flag.Int("kills", 20, "how often the server is killed")
	c := crowd.NewCommand("audit.json")
	c.Run(func(ctx context.Context) error { return program(ctx, *kills, c.Seed, c.Record) })
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
