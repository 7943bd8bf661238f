package crowd

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
)

// Command is the command line of an audit: the flags that all have, and how it ends.
type Command struct {
	Seed   uint64 // of all random decisions
	Record string // where the record of a failed run is kept

	check string
}

// NewCommand adds the flags; record is where a record is kept unless one of them says
// otherwise. Others are added before Run.
func NewCommand(record string) *Command {
	c := &Command{}
	flag.Uint64Var(&c.Seed, "seed", rand.Uint64(), "what all random decisions come from")
	flag.StringVar(&c.Record, "record", record, "where the record of a failed run is kept")
	flag.StringVar(&c.check, "check", "", "check this record and run nothing")
	return c
}

// Run runs the audit, or checks the record that a flag names, and ends the process
// with code 1 where there are faults. An interrupt ends the context of the audit.
func (c *Command) Run(audit func(context.Context) error) {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	var err error
	if c.check == "" {
		err = audit(ctx)
	} else if err = judgeFile(c.check); err == nil {
		fmt.Println("no fault")
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "audit:", err)
		os.Exit(1)
	}
}
