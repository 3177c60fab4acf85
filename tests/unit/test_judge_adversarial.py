"""What the built-in judge makes of sentences that differ from their quote in what matters, and what slips past it.

`CAUGHT` may never be *supported*; `HELD` is true to its quote and must be; `REFUSED` is true as well, but too far from
the quote's words for rules to tell; `MISSED` states the limits of a judge that
reads words and no meaning: a case that is caught one day fails here and moves up.
"""

import pytest

from fiel.tools.judge.support import support

CAUGHT = [
    # names
    ("Brazil beat Germany in the final.", "Germany beat Brazil in the final."),
    ("Brasil ganó a Alemania en la final.", "Alemania ganó a Brasil en la final."),
    ("The contract binds Northwind to pay Contoso.", "The contract binds Contoso to pay Northwind."),
    ("Marta sucedió a Julia en el cargo.", "Julia sucedió a Marta en el cargo."),
    # common words
    ("The dog chased the cat.", "The cat chased the dog."),
    ("El comprador avisa al vendedor.", "El vendedor avisa al comprador."),
    # numbers
    ("Ana paid 7 and Bob paid 5.", "Ana paid 5 and Bob paid 7."),
    ("Ana pagó 7 y Luis pagó 5.", "Ana pagó 5 y Luis pagó 7."),
    ("Adults pay 5 euros and children pay 8 euros.", "Adults pay 8 euros and children pay 5 euros."),
    ("Bob paid 5.", "Ana paid 5 and Bob paid 7."),
    ("Luis pagó 5.", "Ana pagó 5 y Luis pagó 7."),
    ("Ana paid five and Bob paid seven.", "Ana paid seven and Bob paid five."),
    ("The notice period is 30 days.", "The notice period is 60 days."),
    ("El plazo de aviso es de 30 días.", "El plazo de aviso es de 60 días."),
    # dates
    ("She was born on 4 June 1950 and died on 3 May 1890.", "She was born on 3 May 1890 and died on 4 June 1950."),
    ("Nació el 4 de junio de 1950 y murió el 3 de mayo de 1890.",
     "Nació el 3 de mayo de 1890 y murió el 4 de junio de 1950."),
    ("The lease began on 3 June 2019.", "The lease began on 3 May 2019."),
    ("El contrato empezó el 3 de junio de 2019.", "El contrato empezó el 3 de mayo de 2019."),
    ("The library opened after 1990.", "The library opened before 1990."),
    ("La biblioteca abrió después de 1990.", "La biblioteca abrió antes de 1990."),
    # units
    ("The pipeline is 120 miles long and crosses two rivers.",
     "The pipeline is 120 kilometres long and crosses two rivers."),
    ("El gasoducto mide 120 millas y cruza dos ríos del norte.",
     "El gasoducto mide 120 kilómetros y cruza dos ríos del norte."),
    ("The fine for late delivery is 500 euros per order.", "The fine for late delivery is 500 dollars per order."),
    ("The fine for late delivery is €500 per order.", "The fine for late delivery is $500 per order."),
    ("Backups of the main server are kept for 30 hours.", "Backups of the main server are kept for 30 days."),
    ("Interest on the outstanding balance is 5 percent.", "Interest on the outstanding balance is 5 euros."),
    ("The store is kept at 20 degrees.", "The store is kept at -20 degrees."),
    ("El almacén se mantiene a 20 grados.", "El almacén se mantiene a −20 grados."),
    # negation
    ("The device is waterproof.", "The device is not waterproof."),
    ("The device is not waterproof.", "The device is waterproof."),
    ("El dispositivo es resistente al agua.", "El dispositivo no es resistente al agua."),
    ("El dispositivo no es resistente al agua.", "El dispositivo es resistente al agua."),
    ("It is not true that the plan does not cover theft.", "It is true that the plan covers theft."),
    ("The plan covers theft and it covers fire.", "The plan does not cover theft and it does not cover fire."),
    ("El plan cubre robos y cubre incendios.", "El plan no cubre robos y no cubre incendios."),
    ("The bridge is not open and the tunnel is closed.", "The bridge is open and the tunnel is not closed."),
    ("El puente no está abierto y el túnel está cerrado.", "El puente está abierto y el túnel no está cerrado."),
    ("Nobody may enter the archive.", "Visitors may enter the archive."),
    ("The archive is open without an appointment.", "The archive is open with an appointment."),
    # quantifiers
    ("All employees received a bonus.", "Some employees received a bonus."),
    ("Employees received a bonus.", "Some employees received a bonus."),
    ("All employees received a bonus.", "Employees received a bonus."),
    ("Todos los empleados recibieron una prima.", "Algunos empleados recibieron una prima."),
    ("Los empleados recibieron una prima.", "Algunos empleados recibieron una prima."),
    ("Only members may vote on the budget.", "Members may vote on the budget."),
    ("Solo los socios votan el presupuesto.", "Los socios votan el presupuesto."),
    ("The sensor always reports an error.", "The sensor sometimes reports an error."),
    ("El sensor siempre notifica un error.", "El sensor a veces notifica un error."),
    # comparatives and bounds
    ("The new engine of the ferry is heavier than the old engine.",
     "The new engine of the ferry is lighter than the old engine."),
    ("Sales in the northern region increased in the third quarter.",
     "Sales in the northern region decreased in the third quarter."),
    ("Las ventas de la región norte aumentaron en el tercer trimestre.",
     "Las ventas de la región norte disminuyeron en el tercer trimestre."),
    ("The hall seats more than 500 people.", "The hall seats fewer than 500 people."),
    ("The hall seats 500 people.", "The hall seats up to 500 people."),
    ("The hall seats at least 500 people.", "The hall seats 500 people."),
    ("La sala admite más de 500 personas.", "La sala admite menos de 500 personas."),
    ("La sala admite 500 personas.", "La sala admite como máximo 500 personas."),
    # hedges and conditions
    ("The drug cures the disease.", "The drug may cure the disease."),
    ("The minister took the bribe.", "The minister allegedly took the bribe."),
    ("El fármaco cura la enfermedad.", "El fármaco podría curar la enfermedad."),
    ("El ministro aceptó el soborno.", "El ministro supuestamente aceptó el soborno."),
    ("The town has 1,200 inhabitants.", "The town has about 1,200 inhabitants."),
    ("El pueblo tiene 1.200 habitantes.", "El pueblo tiene unos 1.200 habitantes."),
    ("Refunds are paid within five days.", "Refunds are paid within five days if the form is signed."),
    ("El reembolso se paga en cinco días.", "El reembolso se paga en cinco días, salvo que falte la firma."),
]  # fmt: skip

HELD = [
    ("In 1889 the tower was finished.", "The tower was finished in 1889."),
    ("The tower was finished.", "The tower was finished in 1889 for the fair."),
    ("En 1889 se terminó la torre.", "La torre se terminó en 1889."),
    ("The device is not waterproof.", "The device isn't waterproof."),
    ("The device was never repaired.", "The device was not repaired."),
    ("Nunca se reparó el motor.", "No se reparó nunca el motor."),
    ("The town has 1,200 inhabitants.", "The town has 1.200 inhabitants and a mill."),
    ("The pipeline is 120 km long.", "The pipeline is 120 kilometres long."),
    ("The hall seats over 500 people.", "The hall seats more than 500 people."),
    ("La sala admite más de 500 personas.", "La sala admite más de 500 personas y abre en mayo."),
    ("The town has about 1,200 inhabitants.", "The town has roughly 1,200 inhabitants."),
    ("The tower was finished in 1889.", "The tower was finished in 1889 and may be repainted."),
    ("Some employees received a bonus.", "Several employees received a bonus in March."),
    ("All employees received a bonus.", "Every employee received a bonus."),
    ("Ana paid 5.", "Ana paid 5 and Bob paid 7."),
    ("Bob paid 7.", "Ana paid 5 and Bob paid 7."),
    ("Luis pagó 7.", "Ana pagó 5 y Luis pagó 7."),
    ("May was dry in Seville.", "May was dry in Seville and in Cadiz."),
]

REFUSED = [
    ("Employees pay in euros.", "Employees pay in euros, not in dollars."),
    ("The team did not win.", "The team failed to win."),
    ("The device lacks a battery.", "The device has no battery."),
    ("Los empleados pagan en euros.", "Los empleados pagan en euros, no en dólares."),
    ("Contoso bought Northwind in Madrid.", "Northwind was sold to Contoso in Madrid."),
]

MISSED = [
    # a passive that keeps the order of the words turns the roles round
    ("Northwind was sued by Contoso over the lease in Madrid.", "Northwind sued Contoso over the lease in Madrid."),
    ("Contoso fue demandada por Northwind ante el juez.", "Contoso demandó a Northwind ante el juez."),
    # opposites that no list holds
    ("The committee of the northern region approved the annual budget on Monday.",
     "The committee of the northern region shelved the annual budget on Monday."),
    # a denial without a word of negation
    ("The old engine of the ferry managed to start in the cold of January.",
     "The old engine of the ferry refused to start in the cold of January."),
    # an opinion told as a fact
    ("The bridge is unsafe, critics of the ministry.", "The bridge is unsafe, say critics of the ministry."),
    # what a pronoun stands for
    ("She had signed the lease.", "Ana told Eva that she had signed the lease."),
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "quote"), CAUGHT)
def test_what_matters_may_not_differ(sentence: str, quote: str) -> None:
    assert support(sentence, [quote]).label != "supported"


@pytest.mark.parametrize(("sentence", "quote"), HELD)
def test_what_is_true_to_its_quote_is_supported(sentence: str, quote: str) -> None:
    assert support(sentence, [quote]).label == "supported"


@pytest.mark.parametrize(("sentence", "quote"), REFUSED)
def test_what_is_true_but_refused(sentence: str, quote: str) -> None:
    assert support(sentence, [quote]).label != "supported"


@pytest.mark.parametrize(("sentence", "quote"), MISSED)
def test_what_the_built_in_judge_does_not_catch(sentence: str, quote: str) -> None:
    assert support(sentence, [quote]).label == "supported"


@pytest.mark.parametrize("sentence", [sentence for pair in (*CAUGHT, *HELD, *REFUSED, *MISSED) for sentence in pair])
def test_a_verbatim_sentence_is_always_supported(sentence: str) -> None:
    assert support(sentence, ["Before it.", sentence, "After it."]).label == "supported"


def test_two_quotes_may_be_joined_with_the_negation_of_one() -> None:
    quotes = ["The plan covers fire.", "The plan does not cover theft."]
    assert support("The plan covers fire. The plan does not cover theft.", quotes).label == "supported"
    assert support("The plan covers fire and does not cover theft.", quotes).label == "supported"
    assert support("The plan covers theft and does not cover fire.", quotes).label != "supported"
    assert support("The plan covers fire and covers theft.", quotes).label != "supported"
