"""What one has to write for one's own class: a manager, a registration, a proxy, the list of what it passes on."""

from multiprocessing import Process
from multiprocessing.managers import BaseManager, BaseProxy, RemoteError

from manyhands import share


class Thing:
    def on_the_class(self):
        return "the object's"

    def on_both(self):
        return "the object's"

    def exposed(self):
        return "the object's"

    def hidden(self):
        return "the object's"

    def through_the_proxy(self):
        return "the object's"


class ThingProxy(BaseProxy):
    _exposed_ = ("exposed", "through_the_proxy")

    def on_both(self):
        return "the proxy's"

    def exposed(self):
        return self._callmethod("exposed")

    def hidden(self):
        return self._callmethod("hidden")

    def through_the_proxy(self):
        return self._callmethod("through_the_proxy") + ", by the proxy"


class ThingManager(BaseManager):
    pass


ThingManager.register("Thing", Thing, ThingProxy)


def outcomes(thing):
    for name in ("on_the_class", "on_both", "exposed", "hidden", "through_the_proxy"):
        try:
            print(f"  {name}:", getattr(thing, name)(), flush=True)
        except (AttributeError, RemoteError) as error:
            print(f"  {name}: {type(error).__name__}", flush=True)


if __name__ == "__main__":
    with ThingManager() as manager:
        print("standard library", flush=True)
        outcomes(manager.Thing())
    print("manyhands", flush=True)
    outcomes(share(Thing()))
    print("manyhands, of which other processes may use one name", flush=True)
    child = Process(target=outcomes, args=(share(Thing(), expose=["exposed"]),))
    child.start()
    child.join()

# Output
# standard library
#   on_the_class: AttributeError
#   on_both: the proxy's
#   exposed: the object's
#   hidden: RemoteError
#   through_the_proxy: the object's, by the proxy
# manyhands
#   on_the_class: the object's
#   on_both: the object's
#   exposed: the object's
#   hidden: the object's
#   through_the_proxy: the object's
# manyhands, of which other processes may use one name
#   on_the_class: NotExposed
#   on_both: NotExposed
#   exposed: the object's
#   hidden: NotExposed
#   through_the_proxy: NotExposed
