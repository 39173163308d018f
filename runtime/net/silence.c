/* SPDX-License-Identifier: MIT
 *
 * TCP_INFO: whether the kernel is sending something again or asking for room, and when the last ACK came. An ACK of any
 * kind tells that the peer is there, also of a probe. */
#include "net/silence.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/socket.h>

static bool is_asking(const struct tcp_info *info) { return info->tcpi_retransmits > 0 || info->tcpi_probes > 0; }

uint64_t silence_check(clock_ms *since, int fd, clock_ms now) {
  struct tcp_info info = {.tcpi_state = TCP_CLOSE};
  socklen_t size = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || info.tcpi_state == TCP_CLOSE || !is_asking(&info)) {
    *since = 0;
    return 0;
  }
  /* What asks has just begun where an ACK has come since it was seen first: between two of the kernel's, even a peer
   * that answers each leaves one open for a moment. */
  if (*since == 0 || now < *since || info.tcpi_last_ack_recv < now - *since)
    *since = now;
  return now - *since;
}
