package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// DefaultStartTimeout bounds how long a server may take until it listens.
const DefaultStartTimeout = 30 * time.Second

// Options say how to start a server.
type Options struct {
	Bin          string        // the binary, see Build
	Wrap         []string      // a command that runs it, as taskset does; nil: none
	Dir          string        // working directory; the data directory is Dir/data
	Config       string        // content of the config file; "": none
	ConfigName   string        // file name, its suffix says the format; "": fanfare.yaml
	Args         []string      // after "serve"
	Env          []string      // besides the environment of the test
	APIKey       string        // for Call
	StartTimeout time.Duration // 0: DefaultStartTimeout
}

// Server is one process. Its methods may be called from any goroutine.
type Server struct {
	opts   Options
	addr   string
	cmd    *exec.Cmd
	output *output
	done   chan struct{} // closed when the process is gone and its output read
}

// Start runs `fanfare serve` on a port of 127.0.0.1 that the system chooses and
// returns once it listens. When the process ends before that, the error is an
// *ExitError with its output. Every started server has to be ended with Kill,
// Stop or Wait.
func Start(ctx context.Context, opts Options) (*Server, error) {
	s, err := Launch(opts)
	if err != nil {
		return nil, err
	}
	if err := s.AwaitListening(ctx); err != nil {
		s.Kill()
		return nil, err
	}
	return s, nil
}

// Launch starts the process and does not wait until it listens.
func Launch(opts Options) (*Server, error) {
	args := []string{"serve", "--listen", "127.0.0.1:0", "--data-dir", filepath.Join(opts.Dir, "data")}
	if opts.Config != "" {
		file := filepath.Join(opts.Dir, opts.configName())
		if err := os.WriteFile(file, []byte(opts.Config), 0o600); err != nil {
			return nil, fmt.Errorf("write the config: %w", err)
		}
		args = append(args, "--config", file)
	}
	return launch(opts, append(args, opts.Args...))
}

// Run runs any command of the binary to its end and gives its exit code and
// everything it printed.
func Run(ctx context.Context, opts Options, args ...string) (code int, printed string, err error) {
	s, err := launch(opts, args)
	if err != nil {
		return 0, "", err
	}
	code, err = s.Wait(ctx)
	return code, s.Output(), err
}

func launch(opts Options, args []string) (*Server, error) {
	s := &Server{opts: opts, output: newOutput(), done: make(chan struct{})}
	// The process outlives the context it is started under; Kill and Wait end it.
	argv := append(append(slices.Clone(opts.Wrap), opts.Bin), args...)
	s.cmd = exec.CommandContext(context.Background(), argv[0], argv[1:]...)
	s.cmd.Dir = opts.Dir
	s.cmd.Env = append(os.Environ(), opts.Env...)
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	s.cmd.SysProcAttr = dieWithParent()
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(opts.Bin), err)
	}
	go func() {
		defer close(s.done)
		_ = s.cmd.Wait() // its result is in ProcessState
	}()
	return s, nil
}

func (o *Options) configName() string {
	if o.ConfigName == "" {
		return "fanfare.yaml"
	}
	return o.ConfigName
}

// AwaitListening returns once the server has said where it listens.
func (s *Server) AwaitListening(ctx context.Context) error {
	timeout := s.opts.StartTimeout
	if timeout == 0 {
		timeout = DefaultStartTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	select {
	case s.addr = <-s.output.address:
		return nil
	case <-s.done:
		return &ExitError{Code: s.cmd.ProcessState.ExitCode(), Output: s.Output()}
	case <-ctx.Done():
		return fmt.Errorf("the server does not listen: %w\n%s", ctx.Err(), s.Output())
	}
}

// ExitError is a process that ended before it listened.
type ExitError struct {
	Code   int
	Output string
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("the server ended with exit code %d before it listened:\n%s", e.Code, e.Output)
}

// Addr is host:port of a server that listens.
func (s *Server) Addr() string { return s.addr }

// WebSocketURL is the address of the Centrifuge protocol.
func (s *Server) WebSocketURL() string { return "ws://" + s.addr + "/connection/websocket" }

// PID is the process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Output is what the process has printed so far, at most maxOutput bytes.
func (s *Server) Output() string { return s.output.String() }

// Done is closed when the process is gone.
func (s *Server) Done() <-chan struct{} { return s.done }

// Kill ends the process with SIGKILL, the kill -9 of a shell, and waits for it.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill() // an error says that it is gone already
	<-s.done
}

// Signal sends a signal, and does not wait for what comes of it.
func (s *Server) Signal(sig os.Signal) error { return s.cmd.Process.Signal(sig) }

// Stop ends the process with SIGTERM, waits for it and reports its exit code. A
// process that is still there when ctx ends is killed.
func (s *Server) Stop(ctx context.Context) (code int, err error) {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, fmt.Errorf("send SIGTERM: %w", err)
	}
	return s.Wait(ctx)
}

// Wait waits until the process ends by itself and reports its exit code. A
// process that is still there when ctx ends is killed.
func (s *Server) Wait(ctx context.Context) (code int, err error) {
	select {
	case <-s.done:
		return s.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		s.Kill()
		return 0, fmt.Errorf("the process did not end by itself: %w\n%s", ctx.Err(), s.Output())
	}
}
