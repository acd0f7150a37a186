// Package sim is the laboratory: it runs placement policies over models of
// memory in virtual time, knows the truth, and gives the same result every
// time.
//
// tierd takes part as it is, with its real sampler and its real policy, which
// see a model of accessed bits and pay for looking and moving what a Machine
// says that it costs. The baselines do what the known policies do: nothing, the
// best static placement, a list of ages, a histogram with a threshold, and
// the kernel's hint faults. They look free of charge.
//
// A run is a Machine, a Workload and a Placer. Nothing is shared between runs,
// so that they can run at the same time.
package sim
