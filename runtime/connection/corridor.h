/* SPDX-License-Identifier: MIT
 *
 * For the steps of an exchange's corridor, and the engines at its end: the record's states, and asking a route's
 * functions. */
#pragma once

#include "connection/connection.h"

void exchange_set_state(struct exchange *exchange, enum exchange_state state);

/* Sets its connection's timer for whichever bound of the exchange comes next, if that is sooner than what the timer is
 * set for. */
void exchange_arm_timer(struct exchange *exchange);

/* … of one that has just been joined to its target: at the shortest of its timeouts, without asking which of them hold
 * for it; the look finds that. Most connections are over before. */
void exchange_arm_first(struct exchange *exchange);

/* A side has ended or broken, and the other does not take what stands in front of that (on_ending in net/pipe.h): what
 * bounds it begins now. */
void exchange_await_end(struct exchange *exchange);

/* Lets go of the table, when no function of the route can be asked any more. */
void exchange_unpin_table(struct exchange *exchange);

/* Sends the route's PROXY header, if it has one, to the target's socket that has just connected. 0 or a negative errno.
 */
int proxy_header_send(struct exchange *exchange, int fd);

enum function_result {
  FUNCTION_ANSWERED, /* `answer` is filled; its string is the caller's to free */
  FUNCTION_WAITS,    /* the exchange is resumed when it has answered; ask again then */
  FUNCTION_FAILED,   /* the exchange is closed */
};

/* Asks a function of the route (or of the candidate that is being asked). */
enum function_result exchange_ask(struct exchange *exchange, int slot, struct function_answer *answer);

/* What a step says when exchange_ask() has not ANSWERED. */
static inline enum step_result exchange_not_answered(enum function_result result) {
  return result == FUNCTION_WAITS ? STEP_WAIT : STEP_GONE;
}

/* A wrong answer of a function is an error of the file, like one that it raises: counted, logged (`what` says what it
 * should have been), and the exchange is closed; `side` is to blame. Always REFUSED. */
enum step_result exchange_refuse_answer(struct exchange *exchange, enum pipe_side side,
                                        const struct function_answer *answer, const char *what);

/* There is no memory for it: counted, and closed. Always REFUSED. */
enum step_result exchange_refuse_memory(struct exchange *exchange);

/* While something else is being waited for (a target, a function): a client that leaves takes the exchange with it;
 * one that has merely ended its side waits for its answer. Takes over the client's on_ready. */
void exchange_watch_client(struct exchange *exchange);
