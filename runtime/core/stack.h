/* SPDX-License-Identifier: MIT
 *
 * How far the C stack of a thread reaches. What calls itself to a depth that input decides asks before it goes on, and
 * fails instead of running past the end, which would end the process. */
#pragma once

#include <stddef.h>

/* What a call may use up that does not ask itself: a handshake, a log line, the parser of Lua. */
enum { STACK_RESERVE = 256 * 1024 };

/* Bytes between the caller and the end of its thread's stack; 0 beyond it. Cheap but for a thread's first call. */
size_t stack_left(void);
