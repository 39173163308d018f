/* SPDX-License-Identifier: MIT
 *
 * What went wrong, for people: set-up and reload fill a `struct error` besides returning a
 * negative errno. Nothing on the path of a byte uses it. */
#pragma once

enum { ERROR_MESSAGE_SIZE = 768, ERROR_PLACE_SIZE = 256 };

struct error {
  int code;                         /* a positive errno */
  char message[ERROR_MESSAGE_SIZE]; /* what is wrong, and what to do about it */
  char place[ERROR_PLACE_SIZE];     /* where: "routes/site.lua:3", "0.0.0.0:80"; "" when the message says it */
};

/* Fills `error` (which may be NULL; what it held does not matter) and returns -code. Its place is empty then. An
 * argument may be error->message itself. Longer messages are cut. */
int error_set(struct error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Names the place of an error that was set; keeps the one that is there already. */
void error_set_place(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Tells the person at the terminal: "moongate: …" and a newline, on stderr. What it is told comes in part from others:
 * nothing in it moves the cursor, or begins a line. */
void error_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
