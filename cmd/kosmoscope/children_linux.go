package main

import "syscall"

// childAttributes keep a terminal's Ctrl-C for the parent, which ends its
// children in order, and end them too should the parent be killed outright.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
