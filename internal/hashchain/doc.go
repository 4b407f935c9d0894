// Package hashchain makes a file of JSON lines tell whether any of them was
// changed, taken away, put in or moved.
//
// Each line gets one more member, the last:
//
//	{…,"chain":{"seq":17,"prev":"<hash of line 16>","hash":"<hash of this line>"}}
//
// The hash is the SHA-256, in hexadecimal, of all that stands before `,"hash":"` in
// the line, which includes the hash of the line before. The first line has the
// number 1 and 64 zeros as prev. Where a process was killed, or a disk was full, the
// line that it was writing may be incomplete; the next one says so, with
// "torn": how many bytes of incomplete lines are before it.
//
// A chain says nothing about what was never written, and nothing about lines that
// are missing at its end: for that, its Head has to be kept elsewhere. Whoever can
// write the files can make a whole new chain, which then has another Head.
package hashchain
