/* SPDX-License-Identifier: MIT
 *
 * A bound and listening socket, without what happens on it. For net/listener.c. */
#pragma once

#include "core/error.h"
#include "net/address.h"
#include "net/tcp_options.h"

#include <sys/types.h>

struct listening_socket {
  int fd;                   /* -1: not open */
  struct endpoint endpoint; /* as bound, with the port that the kernel gave */
  dev_t device;             /* of a unix socket's file, with inode: whether it is still ours */
  ino_t inode;              /* 0: there is none */
};

/* 0, or a negative errno and `error`; then nothing is open. See listener_open(). */
int listening_socket_open(struct listening_socket *listening, const struct endpoint *endpoint,
                          const struct tcp_options *tcp, struct error *error);

/* Closes, and removes a unix socket's file if it is still ours. Nothing when it is not open. */
void listening_socket_close(struct listening_socket *listening);
