/* SPDX-License-Identifier: MIT
 *
 * What the files of the userspace engine share: userspace.c has its corridor, target.c knows where to, race.c connects
 * there, to one target or several at once, and failure.c says what has failed. */
#pragma once

#include "connection/corridor.h"
#include "routing/balance.h"

/* Fills host and port of the target being tried, by its functions where it has some, and counts it. */
enum step_result target_know(struct exchange *exchange);

/* The exchange's target, if it was counted, is so no longer. */
void target_let_go(struct exchange *exchange);

/* Who may be tried, of the exchange's route. */
struct target_choice target_choice_of(const struct exchange *exchange);

/* A dial to a target has failed: it is counted and remembered. `host` and `port` as the exchange has them. */
struct target_failure {
  const struct route_target *target;
  const char *host; /* NULL: the target's own */
  int port, status;
};

void target_failed(struct exchange *exchange, const struct target_failure *failure);

/* … and told. `last`: there is no further target to try, and nothing under way. */
void target_failure_log(struct exchange *exchange, const struct target_failure *failure, bool last);

/* What the connection is closed for then. */
enum close_reason target_failure_reason(int status);

/* Connects to the target that is known. Its outcome, or that of another that is under way, is in exchange->dialled, now
 * or when the exchange is resumed. */
void race_dial(struct exchange *exchange);

/* Is there something under way, so that nothing is to be begun for now? */
bool race_waits(const struct exchange *exchange);

/* What was dialled has failed (exchange->dial_result): turns to the next target, or to those that are under way. False:
 * there is none. */
bool race_go_on(struct exchange *exchange);

/* Cancels what is under way: it has lost, or nobody waits for it any more. */
void race_end(struct exchange *exchange);
