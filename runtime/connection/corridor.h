/* SPDX-License-Identifier: MIT
 *
 * For the steps of the corridor, and the engines at its end: the record's states, and asking a route's functions. */
#pragma once

#include "connection/connection.h"

void connection_set_state(struct connection *connection, enum connection_state state);

/* Sets the timer for whichever bound comes next, if that is sooner than what it is set for. */
void connection_arm_timer(struct connection *connection);

/* … of one that has just been joined to its target: at the shortest of its timeouts, without asking which of them hold
 * for it; the look finds that. Most connections are over before. */
void connection_arm_first(struct connection *connection);

/* A side has ended or broken, and the other does not take what stands in front of that (on_ending in net/pipe.h): what
 * bounds it begins now. */
void connection_await_end(struct connection *connection);

/* Lets go of the table, when no function of the route can be asked any more. */
void connection_unpin_table(struct connection *connection);

/* Sends the route's PROXY header, if it has one, to the target's socket that has just connected. 0 or a negative errno.
 */
int proxy_header_send(struct connection *connection, int fd);

enum function_result {
  FUNCTION_ANSWERED, /* `answer` is filled; its string is the caller's to free */
  FUNCTION_WAITS,    /* the connection is resumed when it has answered; ask again then */
  FUNCTION_FAILED,   /* the connection has been closed */
};

/* Asks a function of the route (or of the candidate that is being asked). */
enum function_result connection_ask(struct connection *connection, int slot, struct function_answer *answer);

/* A wrong answer of a function is an error of the file, like one that it raises: counted, logged (`what` says what it
 * should have been), and the connection is closed; `side` is to blame. */
enum step_result connection_refuse_answer(struct connection *connection, enum pipe_side side,
                                          const struct function_answer *answer, const char *what);

/* While something else is being waited for (a target, a function): a client that leaves takes the connection with it;
 * one that has merely ended its side waits for its answer. Takes over the client's on_ready. */
void connection_watch_client(struct connection *connection);
