//go:build !linux

package main

import (
	"errors"
	"time"
)

var errNotLinux = errors.New("measuring other processes is only built for Linux")

func processCPU(int) (time.Duration, error) { return 0, errNotLinux }

func machineCPU() (time.Duration, error) { return 0, errNotLinux }

func processRSS(int) (int64, error) { return 0, errNotLinux }

func pin(int, ...int) error { return errNotLinux }
