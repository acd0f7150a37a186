package status

import "sync/atomic"

// Board shows the last picture to whoever looks. The zero Board is empty and ready.
type Board struct {
	status atomic.Pointer[Status]
	config atomic.Pointer[Config]
}

// Publish replaces the picture. The caller must not change s, nor anything that it refers to, afterwards.
func (b *Board) Publish(s *Status) { b.status.Store(s) }

// SetConfig replaces what is said of the configuration, which changes without the loop.
func (b *Board) SetConfig(c Config) { b.config.Store(&c) }

// Config returns what is said of the configuration.
func (b *Board) Config() Config {
	if c := b.config.Load(); c != nil {
		return *c
	}
	return Config{}
}

// Load returns the last picture; nil before the first. It must not be changed.
func (b *Board) Load() *Status {
	s := b.status.Load()
	if s == nil {
		return nil
	}
	c := b.config.Load()
	if c == nil {
		return s
	}
	whole := *s
	whole.Config = *c
	return &whole
}
