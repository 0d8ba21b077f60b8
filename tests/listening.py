"""What a database is asked for, by the connections that are opened while somebody listens."""

from pymongo import monitoring


class Commands(monitoring.CommandListener):
    """Names of the commands that a database is given."""

    def __init__(self):
        self.names = []

    def started(self, event):
        self.names.append(event.command_name)

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


def commands_of(monkeypatch):
    """Listen to the connections that are opened from now on."""
    commands = Commands()
    listeners = monitoring._LISTENERS._replace(command_listeners=[commands])
    monkeypatch.setattr(monitoring, "_LISTENERS", listeners)
    return commands
