/* SPDX-License-Identifier: MIT
 *
 * A connection on trial: a client that might come goes through the corridors' own steps, and what they say of it is
 * written down. Nothing is counted, no place is taken, nothing is sent or logged, and no function of a route runs. So
 * what people are told would become of a connection (`moongate explain`) is what the steps would do, also those that
 * are added. A step's row says what a trial makes of it: of one that says nothing it is only told that it decides. */
#pragma once

#include "connection/reason.h"
#include "connection/step.h"
#include "core/clock.h"
#include "net/address.h"
#include "routing/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct admission;
struct connection;
struct exchange;
struct trial;

/* What is known of the client. All that it points to has to stay during the run. */
struct trial_client {
  const struct table_port *port; /* that it comes to, of the trial's table */
  struct ip_address address;     /* its own, whatever proxy it has come by; not set: not said */
  const char *domain;            /* as domain_normalize() has it; of TLS only */
  size_t domain_length;          /* 0: none */
  bool is_tls;
  unsigned tls_version; /* the bit of the highest that it offers; 0: none that is known */
  const char *sends;    /* what one without TLS says first; NULL: nothing that is known */
};

enum {
  TRIAL_ANSWER_SIZE = 64,
  TRIAL_REFUSALS = 4,
  TRIAL_TIME_MS = 100,    /* of all runs together, as nothing that is asked on the control thread may take long … */
  TRIAL_WHENS_LEAST = 64, /* … but so many functions are asked in each */
};

enum trial_place {
  TRIAL_AT_GATE,   /* before there is a choice: it was looked at further, as if it had been let in */
  TRIAL_AT_CHOICE, /* it gets no route */
  TRIAL_AT_ROUTE,  /* by the route that it gets, or behind its choice */
};

struct trial_refusal {
  const char *step; /* its name */
  enum trial_place at;
  enum close_reason reason;
  const char *option; /* that says so; NULL: none */
  int64_t limit;      /* its number; -1: has none */
  uint64_t blocked_ms;
  bool is_reset;                     /* else it reads `answer`, and the end */
  size_t answer_size;                /* 0: none */
  uint8_t answer[TRIAL_ANSWER_SIZE]; /* the beginning */
};

struct trial_record {
  struct trial_refusal refusals[TRIAL_REFUSALS]; /* in their order */
  size_t refusal_count;
  const struct route *route; /* that it gets, when each `when` that is asked says no; NULL: none */
  size_t when_count;         /* so many were asked */
  bool asks_authorize;       /* and is taken to be let in */
  const char *undecided;     /* the step that has the next word, and that a trial does not run, or not to its end, since
                                its time was over; NULL: none */
};

/* On connections to ports of `table`, which outlives it; `admission` (NULL: nobody is counted) is only looked at. NULL
 * without memory. */
struct trial *trial_new(struct route_table *table, struct admission *admission, struct clock *clock);
void trial_free(struct trial *trial); /* NULL is nothing */

/* Its time is: a run goes no further than TRIAL_WHENS_LEAST. */
bool trial_is_over(const struct trial *trial);

/* Asks for one client. `on_when` (may be NULL) is told each route whose `when` is asked; it is taken to say no. 0 or
 * -ENOMEM. */
int trial_run(struct trial *trial, const struct trial_client *client,
              void (*on_when)(void *context, const struct route *route), void *context, struct trial_record *record);

/* --- for the steps: what they do in earnest is written down instead --- */

/* Refused, by an option of the config or the route. Always REFUSED. */
enum step_result trial_refuse(struct trial *trial, enum close_reason reason, const char *option, int64_t limit);

/* Closed; `resets`: the client is reset. */
void trial_close(struct trial *trial, enum close_reason reason, bool resets);

/* Where limits say how long an address is still blocked. */
uint64_t *trial_blocked_ms(struct trial *trial);
