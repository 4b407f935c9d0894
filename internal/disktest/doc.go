// Package disktest shows what a disk holds after a crash, for the tests of what
// writes files. Linux only.
//
//	the program ──▶ its system calls ──▶ the kernel, a real folder
//	                      │
//	                      └─▶ recorded, or made to fail: seccomp hands over each call
//	                          that changes a file, before it is made
//	the record  ──▶ the power fails after any of them ──▶ one of the folders that can be left
//
// Nothing is assumed of what the program does: it may use any library, and what
// counts as written through is what it told the kernel to write through. A disk may
// lose, keep or tear whatever was written since: each sector of 512 bytes is one of
// what it ever was since then, each length too, and each name in a folder is there or
// not until the folder was written through. What was written before fsync failed is
// never sure any more, unless it is written again.
//
// It knows no other package of this module, and is never part of the built program.
package disktest
