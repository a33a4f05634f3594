"""Logs on stderr: one line a message, its exception included."""

import json
import logging
import sys
import time


class LineFormatter(logging.Formatter):
    """`time=... level=... logger=... msg="..."`, as log collectors read it (logfmt)."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message holds."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": json.dumps(record.getMessage(), ensure_ascii=False),
        }
        if record.exc_info:
            fields["exc"] = json.dumps(self.formatException(record.exc_info), ensure_ascii=False)
        return " ".join(f"{name}={value}" for name, value in fields.items())


def configure_logs(level: str) -> None:
    """Send everything from `level` on to stderr; libraries from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("carousel").setLevel(level.upper())
