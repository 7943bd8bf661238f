package server

import "syscall"

// dieWithParent makes a test that crashes take its servers with it.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
