/* reader.h - the child that looks at files for the supervisor, and what the two say to each other.
 *
 * `lw-supervisor --read-files`, with the folder of app.conf as its working directory and a socket as
 * standard input; it ends when that is closed. Frames (lw_frame.h) of one msgpack list each:
 *
 *     to the reader    [READER_SETS, secret, [[id, [pattern ...]] ...]]  in place of all before
 *                      [READER_LOOK, n]
 *     from it          [READER_SET, id, state, digest, text, [[name, mark] ...]]
 *                      [READER_LOOKED, n]   behind the sets that changed
 *
 * State: an enum reader_state. The digest is READER_DIGEST bytes (READER_KNOWN), the text a sentence
 * (READER_BAD). Names are those the digest was made of, sorted, each with a mark that changes with
 * its content (0: absent); none if they are more than READER_NAMES.
 *
 * A path without *, ? and [ is a file that may be absent, which is a content like any other; it
 * must not be a folder, a device or the like. Any other one is a pattern of glob(3); the regular
 * files that it matches count, with their names, and nothing else that it matches does. Symbolic
 * links are followed.
 *
 * A file that was changed a moment ago is read a moment later, when a further change would show in
 * its times. One that changed while it was read is read again, a few times; then what was read
 * counts, but is not kept: the next look reads it again.
 */
#ifndef LW_SUPERVISOR_READER_H
#define LW_SUPERVISOR_READER_H

#define READER_DIGEST 16
#define READER_NAMES  1000

enum reader_request { READER_SETS, READER_LOOK };
enum reader_reply { READER_SET, READER_LOOKED };
enum reader_state { READER_READING, READER_KNOWN, READER_BAD };

/* The exit status. */
int reader_main(void);

#endif
