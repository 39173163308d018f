/* SPDX-License-Identifier: MIT
 *
 * The last step of an exchange's corridor: takes an admitted exchange with its route to a target, and its bytes from
 * then on. Routes of other engines never get here: the kernel has their connections (engines/plane.h). */
#pragma once

#include "connection/step.h"

#include <stdbool.h>
#include <stddef.h>

struct exchange;

/* A step: is resumed until it is DONE, when the bytes move and only events follow. */
enum step_result userspace_run(struct exchange *exchange);

/* Lets go of what is under way (dial, pipe, target); the exchange is closing. `reset`: the target is not to take it
 * for an end. With exchange->reset_target its stream stays open: who closes sees to it. */
void userspace_cancel(struct exchange *exchange, bool reset);

/* The addresses that are being connected to, as a list for people: "10.0.0.1:80, 10.0.0.2:80", "" when there are none.
 * Cut to `size`, with "…" then. Returns `text`. */
const char *userspace_trying(const struct exchange *exchange, char *text, size_t size);
