package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/test/audit/crowd"
	"github.com/fanfare-push/fanfare/test/server"
)

func main() {
	faults := flag.Int("faults", 40, "how often the cluster is disturbed")
	seed := flag.Uint64("seed", rand.Uint64(), "what all random decisions come from")
	only := flag.String("only", "", "kinds of faults, with commas between; empty: all")
	mount := flag.Bool("mount", false, "give one node a small filesystem of its own, to fill it; needs root and Linux")
	limits := flag.Bool("limits", true, "judge limits of connections, too")
	namespaces := flag.Bool("namespaces", false, "put nodes into network namespaces, where cuts lose packets; needs root and Linux")
	record := flag.String("record", "cluster-audit.json", "where the record of a failed run is kept")
	old := flag.String("check", "", "check this record and run nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	var err error
	if *old != "" {
		if err = crowd.JudgeFile(*old); err == nil {
			fmt.Println("no fault")
		}
	} else {
		err = program(ctx, config{faults: *faults, seed: *seed, only: kindsOf(*only), mount: *mount, limits: *limits, namespaces: *namespaces, recordFile: *record})
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "audit:", err)
		os.Exit(1)
	}
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
