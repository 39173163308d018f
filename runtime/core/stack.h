/* SPDX-License-Identifier: MIT
 *
 * How far the C stack of a thread reaches, and threads that have a long one. What calls itself to a depth that input
 * decides asks before it goes on, and fails instead of running past the end, which would end the process. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum {
  /* What a call may use up that does not ask itself: a handshake, a log line, the parser of Lua. */
  STACK_RESERVE = 256 * 1024,
  /* Of threads that run Lua. Addresses only: what is never reached takes no memory. */
  STACK_SIZE = 64 * 1024 * 1024,
};

/* Bytes between the caller and the end of its thread's stack; 0 beyond it. Cheap but for a thread's first call. */
size_t stack_left(void);

/* Less than a quarter of the stack is left (16 MiB at most): time to nest no further, for whoever can't ask before
 * every level. As cheap. */
bool stack_is_low(void);

/* Gives the memory back that deep nesting has touched, as far as stack_is_low() has seen it. Mostly nothing. */
void stack_trim(void);

/* pthread_create() with all signals blocked and STACK_SIZE, or where there are not even addresses (ulimit -v), with the
 * usual size. 0 or an errno. */
int stack_start_thread(pthread_t *thread, void *(*run)(void *argument), void *argument);

/* The same for the first thread, whose stack grows up to a limit that may be moved, as far as it may. Before it asks
 * any of the above. */
void stack_widen(void);
