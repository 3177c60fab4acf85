"""Stop words, folded (no accents), of the languages that fiel knows best, in one set.

One set for all: questions and passages may differ in language, and a word that only binds in one language is seldom
what an answer hangs on in another.
"""

_ENGLISH = """
a about above after again against all also am an and any are aren't as at be because been before being below between
both but by can can't cannot could couldn't did didn't do does doesn't doing don't down during each few for from further
had hadn't has hasn't have haven't having he her here hers herself him himself his how i if in into is isn't it its
itself just me more most my myself no nor not of off on once only or other our ours ourselves out over own same she
should shouldn't so some such than that the their theirs them themselves then there these they this those through to too
under until up very was wasn't we were weren't what when where which while who whom whose why will with won't would
wouldn't you your yours yourself yourselves many much may might must shall us upon
""".split()

_SPANISH = """
a al algo algun alguna algunas alguno algunos ante antes aquel aquella aquellas aquellos aqui asi aun aunque bajo bien
cada casi como con contra cual cuales cualquier cuando cuanta cuantas cuanto cuantos cuya cuyas cuyo cuyos de del desde
donde dos durante e el ella ellas ellos en entre era eran es esa esas ese eso esos esta estaba estaban estan estas este
esto estos estuvo fue fueron ha haber habia habian han hasta hay hubo la las le les lo los mas me mi mientras mis mismo
misma mucha muchas mucho muchos muy ni no nos nosotros nuestra nuestro o os otra otras otro otros para pero poco por
porque pues que quien quienes se sea sean segun ser si sido siendo sin sino sobre son su sus tal tambien tan tanto te
tiene tienen toda todas todo todos tras tu tuvo u un una unas uno unos usted ustedes y ya yo
""".split()

_OTHERS = """
au aux avec ce ces cette dans des du elle elles est et etait etaient ete etre il ils je leur leurs mais ne notre nous
ont ou par pas pour quand que quel quelle quelles quels qui sa sans ses son sont sur un une vous
aber als am an auch auf aus bei bin bis das dass dem den der des die du durch ein eine einem einen einer eines er es fur
hat hatte haben ich ihr im in ist mit nach nicht noch nur oder sein sich sie sind so uber um und uns vom von vor wann
war waren warum was welche welcher welches wenn wer wie wird wo wurde wurden zu zum zur
ao aos as ate com da das do dos e em essa esse foi foram isso isto mais mas na nas nao no nos num numa o os ou pela
pelas pelo pelos quais qual quanto quantos quem sao se seu seus sua suas tem um uma
che chi ci con cosa cui dal dalla degli dei del della delle di e ed erano fu furono gli i il io la le lo loro ma nel
nella non per perche piu quale quali quando quanti quanto questa questo se sono stato su sua suo tra un una
""".split()

_CONTENT_ELSEWHERE = "war die son sin sea era ate met hat bin man come bald ser dos des".split()
"""Stop words of one language that are content in another: rarity has to weigh them."""

STOP_WORDS = frozenset((*_ENGLISH, *_SPANISH, *_OTHERS)) - frozenset(_CONTENT_ELSEWHERE)
