// Command risk measures what weighing a login costs, in this process and on a real
// store, and how long a replay takes. It prints figures and fails over none of them.
package main
