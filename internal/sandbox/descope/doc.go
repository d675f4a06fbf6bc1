// Package descope is the local Descope: one handler that answers what browsers,
// backends and developers ask of it. It runs flows itself (package runner); screens,
// users and sessions, federation, management and the test panel are handlers of their own
// packages that it puts under one roof.
package descope
