/* SPDX-License-Identifier: MIT
 *
 * What a thread could have run: for how long it had a core, or waited for one, as the kernel counts it. The rest of the
 * time on the wall nobody had, as while the process is stopped (SIGSTOP, a frozen container), or it slept. */
#pragma once

#include <stdint.h>

/* Nanoseconds that the calling thread has run so far; a system call. */
uint64_t cpu_time_ran(void);

/* Called often with the present time of any one clock, in ns: keeps, each tenth of a second, what the thread has had.
 */
void cpu_time_note(uint64_t now);

/* Of the `gap` ns up to `now`, those in which the thread had no core and waited for none. What was kept last may be
 * older than the gap: rather too little than too much. Some system calls. */
uint64_t cpu_time_lost(uint64_t now, uint64_t gap);
