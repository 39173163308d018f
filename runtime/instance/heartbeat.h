/* SPDX-License-Identifier: MIT
 *
 * Whether each worker still comes to its messages: it is sent one twice a second. One that has not come to it for two
 * seconds is stuck: in a call into the kernel or into C that does not return, since Lua is ended by the watchdog. Then
 * the log says where, another accepts for it, and nobody waits for its answers, until it has come. Lives on the control
 * thread. */
#pragma once

#include "core/clock.h"
#include "core/loop.h"
#include "core/mailbox.h"
#include "instance/takeover.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct instance;
struct value;
struct worker;

enum { HEARTBEAT_EVERY_MS = 500, HEARTBEAT_LOOKS = 4 /* in vain: stuck */, HEARTBEAT_KERNEL_NAME_SIZE = 64 };

/* Where a worker is stuck. */
struct heartbeat_place {
  char *route, *file;                      /* NULL: not known */
  char kernel[HEARTBEAT_KERNEL_NAME_SIZE]; /* the function of the kernel's that it sleeps in; "": not known */
};

/* Of one worker. */
struct heartbeat {
  struct message message;
  struct heartbeats *owner;
  struct worker *worker;
  bool sent; /* it is the worker's */
  clock_ms sent_ms;
  unsigned
      looks; /* since it was sent. Not the time that has passed: all of it may have been ours, in a frozen process */
  struct heartbeat_place place; /* while it is stuck */
};

struct heartbeats {
  struct instance *instance;
  struct heartbeat *beats;
  size_t count;
  size_t stuck; /* workers */
  struct wheel_timer timer;
  struct takeovers takeovers;
};

/* Once the threads run. 0 or -ENOMEM. Nothing for workers that have no thread. */
int heartbeats_start(struct instance *instance);

/* Before the threads are told to end. Nothing when zeroed. */
void heartbeats_stop(struct heartbeats *heartbeats);

/* After they have ended. Nothing when zeroed. */
void heartbeats_deinit(struct heartbeats *heartbeats);

/* Appends { number =, seconds =, route =, file =, kernel =, accepted_by = } for each worker that is stuck; what is not
 * known is left out. */
void heartbeats_write(const struct heartbeats *heartbeats, struct value *list);
