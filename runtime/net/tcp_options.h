/* SPDX-License-Identifier: MIT
 *
 * The TCP options of the configuration, as they are set on a socket. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What is set on each socket that is opened towards a target, and on listeners (from there the accepted ones inherit
 * it). */
struct tcp_options {
  bool no_delay;
  bool keep_alive;
  uint64_t probe_after_ms;    /* TCP_KEEPIDLE, in whole seconds; 0 here and below: the kernel's default */
  uint64_t probe_interval_ms; /* TCP_KEEPINTVL, likewise */
  int probes;                 /* TCP_KEEPCNT */
  uint64_t unacknowledged_ms; /* no option of a socket: see net/silence.h; 0: never */
};

/* 0 or a negative errno. Only for TCP: unix sockets know none of these (-EOPNOTSUPP). */
int tcp_options_apply(int fd, const struct tcp_options *options);

/* The part of it that a connection needs only once it has been idle: up to four system calls, which short connections
 * are spared by doing it late. */
int tcp_options_keep_alive(int fd, const struct tcp_options *options);

/* … and after how many ms since it began that is due, with keep_alive: a minute, or the first probe's time. */
uint64_t tcp_options_probes_due(const struct tcp_options *options);
