/* SPDX-License-Identifier: MIT
 *
 * Sets TCP options. Each is a system call of a new connection, so what is off, or left to the kernel, costs none. */
#include "net/tcp_options.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum { PROBES_LATEST_MS = 60 * 1000 };

static int tcp_option_set(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : -errno;
}

int tcp_options_keep_alive(int fd, const struct tcp_options *options) {
  if (!options->keep_alive)
    return 0;
  int status = tcp_option_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  if (status == 0 && options->probe_after_ms > 0)
    status = tcp_option_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)(options->probe_after_ms / 1000));
  if (status == 0 && options->probe_interval_ms > 0)
    status = tcp_option_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, (int)(options->probe_interval_ms / 1000));
  if (status == 0 && options->probes > 0)
    status = tcp_option_set(fd, IPPROTO_TCP, TCP_KEEPCNT, options->probes);
  return status;
}

uint64_t tcp_options_probes_due(const struct tcp_options *options) {
  uint64_t after = options->probe_after_ms;
  return after && after < PROBES_LATEST_MS ? after : PROBES_LATEST_MS;
}

int tcp_options_apply(int fd, const struct tcp_options *options) {
  int status = options->no_delay ? tcp_option_set(fd, IPPROTO_TCP, TCP_NODELAY, 1) : 0;
  return status == 0 ? tcp_options_keep_alive(fd, options) : status;
}
