// Package config turns a TOML file into a validated [Config].
//
// It is plain data: it imports nothing else of tierd, looks at no machine
// except for the file that it loads, and starts nothing.
//
// # What it promises
//
//   - Every table and key is optional. An empty file gives [Default]: tierd
//     observes and moves nothing.
//   - All problems of a file are reported at once, each with file, line,
//     column, a caret and, where there is one, a hint. Only a syntax error
//     stops at the first. [Problems] is the error that carries them.
//   - An unknown key is an error, with the nearest known key as the hint.
//   - Units are mandatory: "64GiB", "20ms", "3%". A bare number says neither
//     what it counts nor that its author thought of it.
//   - A key that is known but not yet acted on is checked as strictly as the
//     others and reported by [Config.NotActedOn]. It is never silently ignored.
//   - Order in the file is kept where it has a meaning: tiers from fast to
//     slow, and the first workload that matches a process wins.
//   - No input makes [Parse] panic, and the work is bounded: see the Max
//     constants.
//
// # How it works
//
// A small scanner goes over the text first. It remembers where each key, value
// and list element stands (the TOML library keeps that to itself, and has no
// places for list elements), and stops at what is nested too deep or too long
// for the library, which has no bounds. Then the library parses the text into
// maps, and a table of rules takes each key to its place in the Config. Value
// checks live in the value types ([Bytes], [Rate], [Percent], [NodeSet],
// [Duration], …), each of which implements [encoding.TextUnmarshaler], so that
// they reject the same texts wherever they are used.
//
// # Concurrency
//
// A Config is not changed after Parse, Load or Default has returned it; it may
// be read by many goroutines. The package has no state of its own.
package config
