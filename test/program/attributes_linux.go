package program

import "syscall"

// attributes end the process when the test dies before it can do so, and keep
// a terminal's Ctrl-C for the test.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
