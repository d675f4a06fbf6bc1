//go:build unix && !linux

package main

import "syscall"

// childAttributes keep a terminal's Ctrl-C for the parent, which ends its
// children in order.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
