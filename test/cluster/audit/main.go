package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/test/audit/crowd"
	"github.com/fanfare-push/fanfare/test/server"
)

func main() {
	faults := flag.Int("faults", 40, "how often the cluster is disturbed")
	only := flag.String("only", "", "kinds of faults, with commas between; empty: all")
	mount := flag.Bool("mount", false, "give one node a small filesystem of its own, to fill it; needs root and Linux")
	limits := flag.Bool("limits", true, "judge limits of connections, too")
	namespaces := flag.Bool("namespaces", false, "put nodes into network namespaces, where cuts lose packets; needs root and Linux")
	c := crowd.NewCommand("cluster-audit.json")
	c.Run(func(ctx context.Context) error {
		return program(ctx, config{faults: *faults, seed: c.Seed, only: kindsOf(*only), mount: *mount, limits: *limits, namespaces: *namespaces, recordFile: c.Record})
	})
}

func kindsOf(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// perFault bounds what one fault may take, with all that comes of it.
const perFault = 2 * time.Minute

func program(ctx context.Context, cfg config) error {
	dir, err := os.MkdirTemp("", "fanfare-cluster-audit-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cfg.dir = dir
	if cfg.bin, err = server.Build(ctx, dir); err != nil {
		return err
	}
	cfg.progress = func(line string) { fmt.Println(line) }
	ctx, cancel := context.WithTimeout(ctx, time.Duration(cfg.faults+1)*perFault)
	defer cancel()
	result, err := run(ctx, cfg)
	if result != nil {
		fmt.Print("\n", result.table(), "\n", result.summary(), "\n")
	}
	if err != nil {
		return err
	}
	return crowd.Judge(result.record, cfg.recordFile)
}
