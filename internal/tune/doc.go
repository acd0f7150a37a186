// Package tune looks for values of [thrash] and [migrate] that would do better
// than those of a configuration, and says what they would change.
//
// There are two sources. In a simulation values can be tried: Search samples
// them evenly, refines the best, and judges what is left by runs that had no
// part in choosing it, so that luck is not sold as gain. A Prometheus server
// knows how tierd fared for days, but nothing can be tried there: Advise turns
// one key at a time, by the rules of Rules.
//
// Nothing is written: Edit makes the text of a changed configuration and the
// difference to the present one.
package tune
